package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/descent-ml/descent/bench"
	"github.com/descent-ml/descent/report"
)

type reportCmd struct {
	Dirs []string `arg:"" name:"dir" type:"path" help:"Run folders, or the folder of a comparison."`
	Out  string   `placeholder:"FILE" help:"File to write (default report.html in the folder, or here for several)."`
	JSON bool     `help:"Print one JSON object."`
}

// Help shows the examples.
func (reportCmd) Help() string {
	return `The file needs nothing else and no network: style, script and charts are inside.

Examples:

    descent report runs/digits-adam-1
    descent report runs/compare-digits-1
    descent report runs/digits-adam-1 runs/digits-lion-1 --out both.html`
}

// Run makes a report.
func (c *reportCmd) Run(a *app) error {
	out := c.Out
	if out == "" {
		out = "report.html"
		if len(c.Dirs) == 1 {
			out = filepath.Join(c.Dirs[0], "report.html")
		} else if _, err := os.Lstat(out); err == nil {
			return usage(errors.New("report.html exists here\nhint: name another file with --out"))
		}
	}
	page, err := runsPage(c.Dirs)
	if err != nil {
		return err
	}
	if err := writePage(out, page); err != nil {
		return err
	}
	info, err := os.Stat(out)
	if err != nil {
		return err
	}
	runs := 0
	for _, m := range page.Methods {
		runs += len(m.Runs)
	}
	if c.JSON {
		return a.json(map[string]any{"report": out, "bytes": info.Size(), "methods": len(page.Methods), "runs": runs})
	}
	a.printf("%s: %s, %s\n", shown(out), plural(runs, "run"), byteSize(float64(info.Size())))
	return nil
}

// runsPage makes the page of a comparison's folder or of run folders.
func runsPage(dirs []string) (*report.Page, error) {
	if len(dirs) == 1 {
		c, err := bench.Read(dirs[0])
		if err == nil {
			return pageOf(c), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	c := &bench.Comparison{Version: version()}
	for _, dir := range dirs {
		if err := addRun(c, dir); err != nil {
			return nil, err
		}
	}
	c.Rank()
	p := pageOf(c)
	if len(dirs) > 1 {
		p.Notes = append([]string{fmt.Sprintf("Put together from %d run folders: compare with care where their settings differ.", len(dirs))}, p.Notes...)
	}
	return p, nil
}
