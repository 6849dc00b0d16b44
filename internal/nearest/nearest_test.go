package nearest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNames(t *testing.T) {
	known := []string{"adam", "adamw", "adagrad", "sgd", "momentum", "linear", "lenet5", "mlp"}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"adma", []string{"adam", "adamw"}},
		{"ADAM", []string{"adam", "adamw"}},
		{"lenet", []string{"lenet5"}},
		{"lenett", []string{"lenet5"}},
		{"momentun", []string{"momentum"}},
		{"mpl", []string{"mlp"}},
		{"transformer", nil},
	} {
		got := Names(c.name, known, 2)
		if !slices.Equal(got, c.want) {
			t.Errorf("Names(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestHint(t *testing.T) {
	known := []string{"adam", "adamw", "adamax"}
	for name, want := range map[string]string{
		"adam":    "did you mean adam, adamw or adamax?",
		"adamaxx": "did you mean adamax or adam?",
		"zzzzzz":  "see the list",
	} {
		if got := Hint(name, known, "see the list"); got != want {
			t.Errorf("Hint(%q) = %q, want %q", name, got, want)
		}
	}
}

// The distance is a metric, and one edit changes it by at most one.
func TestDistanceIsAMetric(t *testing.T) {
	word := rapid.StringMatching(`[a-d]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if d := distance(a, b); d != distance(b, a) || (d == 0) != (a == b) {
			t.Fatalf("distance(%q, %q) = %d, reversed %d", a, b, d, distance(b, a))
		}
		if distance(a, c) > distance(a, b)+distance(b, c) {
			t.Fatalf("triangle inequality fails for %q %q %q", a, b, c)
		}
		if d := distance(a, a+b); d != len(b) {
			t.Fatalf("distance(%q, %q) = %d, want %d", a, a+b, d, len(b))
		}
	})
}
