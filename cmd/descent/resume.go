package main

import (
	"errors"

	"github.com/descent-ml/descent/train"
)

type resumeCmd struct {
	Dir  string `arg:"" type:"path" help:"Run folder."`
	JSON bool   `help:"Print one JSON object."`
}

// Help shows the examples.
func (resumeCmd) Help() string {
	return `The run goes on from its newest valid checkpoint and ends with the same bits as if it had not been stopped.

Examples:

    descent resume runs/digits-adam-1
    descent resume runs/digits-adam-1 --json`
}

// Run continues a run.
func (c *resumeCmd) Run(a *app) error {
	p := a.progress()
	result, err := train.Resume(a.ctx, c.Dir, train.Options{Version: version(), Progress: runProgress(a, p)})
	p.clear()
	if errors.Is(err, train.ErrComplete) && result != nil {
		a.say("the run is complete: nothing is left to do\n")
		err = nil
	}
	if err != nil {
		return err
	}
	return a.finish(result, c.JSON)
}
