package train

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const sampleYAML = `# a run
data: iris
model: "mlp:8"
method: momentum
settings: {lr: 0.05, momentum: 0.8}
epochs: 4
seed: 3
target:
  metric: test_accuracy
  value: 0.9
guard: {policy: rewind, limit: 2}
early_stop:
  patience: 3
`

func TestParseConfig(t *testing.T) {
	want := Config{
		Data: "iris", Model: "mlp:8", Method: "momentum", Settings: map[string]float64{"lr": 0.05, "momentum": 0.8}, Epochs: 4, Seed: 3,
		Target: Target{"test_accuracy", 0.9}, Guard: Guard{Policy: "rewind", Limit: 2}, EarlyStop: EarlyStop{Patience: 3},
	}
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, []byte(sampleYAML), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadConfig(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseConfig(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("JSON: %+v, %v", got, err)
	}
	for _, bad := range []string{"metod: adam", "method: [a]", "epochs: many", "method: adma", "a: b: c", "settings: {lr: -1}", "\x00", strings.Repeat("[", 10000)} {
		if _, err := ParseConfig([]byte(bad)); err == nil || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

// Random changes of a configuration are read as another valid one, or are errors; nothing panics.
func TestConfigChanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	for range 3000 {
		b := []byte(sampleYAML)
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.IntN(128))
		}
		b = b[:rng.IntN(len(b)+1)]
		if c, err := ParseConfig(slices.Clone(b)); err == nil {
			if err := c.Validate(); err != nil {
				t.Fatalf("%q was accepted: %v", b, err)
			}
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(sampleYAML))
	f.Add([]byte(`{"method": "adam"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseConfig(b); err == nil {
			if err := c.Validate(); err != nil {
				t.Fatalf("%q was accepted: %v", b, err)
			}
		}
	})
}
