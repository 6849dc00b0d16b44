package main

import (
	"fmt"
	"strings"

	"github.com/descent-ml/descent/dataset"
)

type dataCmd struct {
	Name    string `arg:"" optional:"" help:"Data set (default: all)."`
	DataDir string `placeholder:"DIR" help:"Where data sets lie (default: DESCENT_DATA, else the user's cache folder)."`
	JSON    bool   `help:"Print one JSON object."`
}

// Help shows the examples.
func (dataCmd) Help() string {
	return `Shows what is here, where it is from, its licence, sizes and checksums, and how to get what is not here.

Examples:

    descent data
    descent data mnist
    descent data --data-dir /srv/data --json`
}

// Run shows data sets.
func (c *dataCmd) Run(a *app) error {
	if c.Name != "" {
		info, err := dataset.Describe(c.Name, c.DataDir)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.json(dataObject(info))
		}
		a.printf("%s", describeData(info))
		return nil
	}
	infos := dataset.NamesIn(c.DataDir)
	if c.JSON {
		objects := []any{}
		for _, i := range infos {
			objects = append(objects, dataObject(i))
		}
		return a.json(map[string]any{"data_dir": dataset.DataDir(c.DataDir), "data": objects})
	}
	var rows [][]string
	for _, i := range infos {
		here := "yes"
		if !i.Present {
			here = "no"
		} else if i.Kind != "files" {
			here = i.Kind
		}
		rows = append(rows, []string{i.Name, here, i.Task.String(), shapeText(i.Shape), outputsText(i), grouped(i.Train), grouped(i.Test), i.Title})
	}
	a.printf("%s\ndata directory: %s\n", table([]string{"name", "here", "task", "example", "outputs", ">train", ">test", "title"}, rows), dataset.DataDir(c.DataDir))
	for _, i := range infos {
		if !i.Present {
			a.printf("how to get what is not here: descent data NAME\n")
			break
		}
	}
	return nil
}

// dataObject is a description with the task, which Info leaves out of its JSON.
func dataObject(i dataset.Info) any {
	return struct {
		dataset.Info
		Task string `json:"task"`
	}{i, i.Task.String()}
}

func shapeText(shape []int) string {
	parts := make([]string, len(shape))
	for i, n := range shape {
		parts[i] = fmt.Sprint(n)
	}
	return strings.Join(parts, "×")
}

func outputsText(i dataset.Info) string {
	if i.Classes > 0 {
		return plural(i.Classes, "class")[:len(fmt.Sprint(i.Classes))] + " classes"
	}
	return plural(i.Outputs, "number")
}

// describeData explains one data set.
func describeData(i dataset.Info) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", i.Name, i.Title)
	b.WriteString(labelled("task", fmt.Sprintf("%s, %s", i.Task, outputsText(i))))
	b.WriteString(labelled("example", shapeText(i.Shape)))
	b.WriteString(labelled("examples", fmt.Sprintf("%s for training and validation, %s for testing", grouped(i.Train), grouped(i.Test))))
	b.WriteString(labelled("source", i.Source))
	b.WriteString(labelled("licence", i.Licence))
	switch {
	case i.Kind == "embedded":
		b.WriteString(labelled("here", "yes, inside the program"))
	case i.Kind == "generated":
		b.WriteString(labelled("here", "yes, generated when it is used"))
	case i.Present:
		b.WriteString(labelled("here", "yes, in "+i.Folder))
	default:
		b.WriteString(labelled("here", "no; looked for in "+i.Folder))
	}
	if len(i.Files) > 0 {
		var rows [][]string
		for _, f := range i.Files {
			here, size := "missing", ""
			if f.Present {
				here = "here"
			}
			if f.Size > 0 {
				size = byteSize(float64(f.Size))
			}
			rows = append(rows, []string{here, size, f.SHA256, shown(f.Path)})
		}
		b.WriteString("\n" + indent(table([]string{"file", ">size", "SHA-256 (decompressed)", "path"}, rows), "  "))
	}
	if i.Get != "" && !i.Present {
		b.WriteString("\nHow to get it:\n\n" + indent(i.Get, "  "))
	}
	return b.String()
}
