package catalogue_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/optim"
)

var update = flag.Bool("update", false, "write docs/methods.md")

const methodsPage = "../docs/methods.md"

// TestMethodsPage holds docs/methods.md against the table that it is made from.
func TestMethodsPage(t *testing.T) {
	want := methodsMarkdown()
	if *update {
		if err := os.WriteFile(methodsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(methodsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/methods.md is not what the table says; run: go test ./catalogue -run MethodsPage -update")
	}
}

func methodsMarkdown() string {
	var b strings.Builder
	table := catalogue.Table[float32]()
	b.WriteString(`# Training methods

Made from the table in package catalogue (` + "`go test ./catalogue -run MethodsPage -update`" + `); ` + "`descent describe NAME`" + ` prints the same.
In the formulas g is the gradient, p the parameters, t = 1, 2, … counts updates. Memory is in numbers kept for every parameter,
besides the parameter and its gradient.

| method | | memory | gradients a step |
|---|---|---|---|
`)
	for _, s := range table {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %g | %d |\n", s.Name, s.Name, s.Title, s.MemoryFloats, s.GradientsPerStep)
	}
	b.WriteString("\nEvery method also has these settings:\n\n")
	writeSettings(&b, table[0].Settings, true)
	for _, s := range table {
		fmt.Fprintf(&b, "\n## %s\n\n%s. %s\n\n", s.Name, s.Title, s.Paper)
		for line := range strings.Lines(s.Formula) {
			fmt.Fprintf(&b, "    %s\n", strings.TrimRight(line, "\n"))
		}
		fmt.Fprintf(&b, "\n**When.** %s\n\n**When not.** %s\n\n", s.When, s.WhenNot)
		writeSettings(&b, s.Settings, false)
	}
	return b.String()
}

func writeSettings(b *strings.Builder, settings []optim.Setting, common bool) {
	b.WriteString("| setting | default | range | |\n|---|---|---|---|\n")
	for _, x := range settings {
		if x.Common == common {
			fmt.Fprintf(b, "| `%s` | %g | %s | %s |\n", x.Name, x.Default, x.Range(), strings.ReplaceAll(x.Doc, "|", "\\|"))
		}
	}
}
