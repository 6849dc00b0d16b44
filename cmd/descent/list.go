package main

import (
	"fmt"
	"path"
	"strings"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
)

type listCmd struct {
	What    string `arg:"" optional:"" help:"methods, models or data (default: all); a pattern alone is one of names."`
	Pattern string `arg:"" optional:"" help:"Names to list, such as 'ada*'."`
	DataDir string `placeholder:"DIR" help:"Where data sets lie."`
	JSON    bool   `help:"Print one JSON object."`
}

// Help shows the examples.
func (listCmd) Help() string {
	return `Examples:

    descent list
    descent list methods
    descent list 'ada*'
    descent list data --json`
}

// listed is one name of a list.
type listed struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Present *bool  `json:"present,omitempty"` // of data: all files are here
}

// Run lists.
func (c *listCmd) Run(a *app) error {
	what, pattern := strings.ToLower(c.What), c.Pattern
	switch what {
	case "", "methods", "models", "data":
	case "method", "model":
		what += "s"
	case "datasets", "data-sets":
		what = "data"
	default:
		if pattern != "" {
			return usage(fmt.Errorf("list: found %q, expected methods, models or data\nhint: descent list methods '%s'", c.What, pattern))
		}
		what, pattern = "", c.What
	}
	if _, err := path.Match(pattern, "x"); err != nil {
		return usage(fmt.Errorf("list: the pattern %q is not one\nhint: * stands for any letters, ? for one", pattern))
	}
	lists := map[string][]listed{}
	for _, s := range catalogue.Table[float32]() {
		lists["methods"] = append(lists["methods"], listed{Name: s.Name, Title: s.Title})
	}
	for _, m := range nn.ModelNames() {
		lists["models"] = append(lists["models"], listed{Name: m.Form, Title: m.Title})
	}
	for _, d := range dataset.NamesIn(c.DataDir) {
		present := d.Present
		lists["data"] = append(lists["data"], listed{Name: d.Name, Title: d.Title, Present: &present})
	}
	found := 0
	for kind, items := range lists {
		var kept []listed
		for _, i := range items {
			name, _, _ := strings.Cut(i.Name, ":")
			ok := pattern == ""
			if !ok {
				ok, _ = path.Match(pattern, name)
			}
			if ok && (what == "" || what == kind) {
				kept = append(kept, i)
			}
		}
		found += len(kept)
		lists[kind] = kept
		if len(kept) == 0 {
			delete(lists, kind)
		}
	}
	if found == 0 {
		return usage(fmt.Errorf("list: no name fits %q\nhint: patterns take * and ?; descent list shows all names", pattern))
	}
	if c.JSON {
		return a.json(lists)
	}
	for i, kind := range []string{"methods", "models", "data"} {
		items, ok := lists[kind]
		if !ok {
			continue
		}
		if i > 0 && len(lists) > 1 && kind != "methods" {
			a.printf("\n")
		}
		if len(lists) > 1 {
			a.printf("%s\n", paint(a.paintOut, "1", strings.ToUpper(kind[:1])+kind[1:]))
		}
		var rows [][]string
		for _, i := range items {
			note := i.Title
			if i.Present != nil && !*i.Present {
				note += " (not here: descent data " + i.Name + ")"
			}
			rows = append(rows, []string{i.Name, note})
		}
		a.printf("%s", indent(table([]string{"", ""}, rows), "  "))
	}
	return nil
}
