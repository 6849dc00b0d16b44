package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/nearest"
	"golang.org/x/term"
)

// The exit statuses.
const (
	done   = 0
	failed = 1
	wrong  = 2 // wrong usage
)

// app is what the verbs share: where they write and what that place can show.
type app struct {
	ctx            context.Context
	stdout, stderr io.Writer
	live           bool // stderr is a terminal: progress may redraw its line
	width          int  // of that terminal
	paintOut       bool // colours on stdout
	paintErr       bool // colours on stderr
	args           []string
}

// verbs is the grammar of the command line.
type verbs struct {
	Compare    compareCmd    `cmd:"" help:"Compare training methods on equal terms."`
	Train      trainCmd      `cmd:"" help:"Train a model with one method."`
	Resume     resumeCmd     `cmd:"" help:"Continue a stopped run, to the same bits."`
	Evaluate   evaluateCmd   `cmd:"" help:"Loss, accuracy and calibration of a saved model."`
	Predict    predictCmd    `cmd:"" help:"Predictions of a saved model for new rows."`
	List       listCmd       `cmd:"" help:"List methods, models and data sets."`
	Describe   describeCmd   `cmd:"" help:"Explain a method, a model or a data set."`
	Data       dataCmd       `cmd:"" help:"Show data sets: what is here, and how to get what is not."`
	Report     reportCmd     `cmd:"" help:"Make one self-contained HTML file from runs."`
	Limits     limitsCmd     `cmd:"" help:"Predict wide networks before training, with error bars."`
	Doctor     doctorCmd     `cmd:"" help:"Show what this machine has, and what to do about gaps."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a script that completes names in the shell."`
	Complete   completeCmd   `cmd:"" name:"__complete" hidden:""`
}

func newApp(ctx context.Context, stdout, stderr io.Writer) *app {
	a := &app{ctx: ctx, stdout: stdout, stderr: stderr, width: 80}
	colours := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if f, ok := stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.paintOut = colours
	}
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.live = os.Getenv("TERM") != "dumb"
		a.paintErr = colours
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			a.width = w
		}
	}
	return a
}

// exit carries an exit status out of the parser, which prints help and then ends the program.
type exit int

// run carries out one command line and returns the exit status.
func (a *app) run(args []string) (status int) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case exit:
			status = int(p)
		default:
			status = a.internalError(p, args)
		}
	}()
	a.args = args
	args = joinNegative(args)
	var v verbs
	parser, err := kong.New(&v,
		kong.Name("descent"),
		kong.Description("descent trains neural networks and compares training algorithms.\n\nStart with: descent compare"),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100, NoExpandSubcommands: true}),
		kong.Vars{"lineup": lineup},
	)
	if err != nil {
		panic(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	c, err := parser.Parse(args)
	if err != nil {
		return a.report(usage(parseError(parser, args, err)))
	}
	return a.report(c.Run(a))
}

// joinNegative joins options and negative numbers after them, which the parser takes for short options.
func joinNegative(args []string) []string {
	var out []string
	for i, s := range args {
		if i > 0 && len(s) > 1 && s[0] == '-' && strings.ContainsRune(".0123456789", rune(s[1])) && strings.HasPrefix(args[i-1], "--") && len(args[i-1]) > 2 && !strings.Contains(args[i-1], "=") {
			out[len(out)-1] += "=" + s
			continue
		}
		out = append(out, s)
	}
	return out
}

// parseError adds the nearest verbs to the parser's error where it is about a verb.
func parseError(p *kong.Kong, args []string, err error) error {
	message := err.Error()
	if first := args[0]; !strings.HasPrefix(first, "-") {
		known := verbNames(p.Model)
		isVerb := false
		for _, k := range known {
			isVerb = isVerb || k == first
		}
		if !isVerb {
			return fmt.Errorf("there is no verb %q\nhint: %s", first, nearest.Hint(first, known, "the verbs are "+strings.Join(known, ", ")))
		}
		if node := nodeOf(p.Model, args); len(node.Children) > 0 {
			var below []string
			for _, c := range node.Children {
				below = append(below, c.Name)
			}
			if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
				return fmt.Errorf("there is no verb %q of descent %s\nhint: %s", args[1], first, nearest.Hint(args[1], below, "the verbs are "+strings.Join(below, ", ")))
			}
			return fmt.Errorf("descent %s needs a verb of its own\nhint: %s", first, "the verbs are "+strings.Join(below, ", "))
		} else if node.Name != first {
			first += " " + node.Name
		}
		return fmt.Errorf("%s\nhint: descent %s --help shows all options with examples", message, first)
	}
	return fmt.Errorf("%s\nhint: descent --help shows the verbs", message)
}

func verbNames(m *kong.Application) []string {
	var names []string
	for _, n := range m.Children {
		if !n.Hidden {
			names = append(names, n.Name)
		}
	}
	return names
}

// usageError is an error of the command line itself: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// errStopped says that the verb ended early because the context was cancelled, after it saved.
var errStopped = errors.New("stopped")

// report prints an error with its hint and returns the exit status.
func (a *app) report(err error) int {
	if err == nil {
		return done
	}
	var s stopped
	if errors.As(context.Cause(a.ctx), &s) && (errors.Is(err, errStopped) || errors.Is(err, context.Canceled)) {
		return s.exitStatus()
	}
	if errors.Is(err, errStopped) {
		return failed
	}
	text, hint, _ := strings.Cut(err.Error(), "\nhint:")
	fmt.Fprintf(a.stderr, "%s %s\n", a.red("error:"), text)
	if hint = strings.TrimSpace(hint); hint == "" && errors.Is(err, fs.ErrNotExist) {
		hint = "check the path"
	}
	if hint != "" {
		fmt.Fprintf(a.stderr, "%s %s\n", a.bold("hint:"), hint)
	}
	var u usageError
	if errors.As(err, &u) {
		return wrong
	}
	var d *dataset.Error
	if errors.As(err, &d) && strings.HasPrefix(d.What, "unknown data set") {
		return wrong
	}
	return failed
}

// internalError keeps the stack of a defect in a file and says where to report it.
func (a *app) internalError(p any, args []string) int {
	text := fmt.Sprintf("descent %s\narguments: %q\n\n%v\n\n%s", version(), args, p, debug.Stack())
	fmt.Fprintf(a.stderr, "%s internal error: %.300v\n", a.red("error:"), p)
	where := "the text of this error"
	if f, err := os.CreateTemp("", "descent-crash-*.txt"); err == nil {
		_, werr := f.WriteString(text)
		if cerr := f.Close(); werr == nil && cerr == nil {
			where = f.Name()
		}
	}
	fmt.Fprintf(a.stderr, "%s this is a defect of descent; please report it at https://github.com/descent-ml/descent/issues with %s\n", a.bold("hint:"), where)
	return failed
}

// command is the command line as it was typed.
func (a *app) command() string {
	words := []string{"descent"}
	for _, w := range a.args {
		words = append(words, quoted(w))
	}
	return strings.Join(words, " ")
}

// json prints v as the one object on standard output.
func (a *app) json(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printf writes a result.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// say writes a message.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stderr, format, args...) }

func paint(on bool, code, s string) string {
	if !on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (a *app) bold(s string) string  { return paint(a.paintErr, "1", s) }
func (a *app) faint(s string) string { return paint(a.paintErr, "2", s) }
func (a *app) red(s string) string   { return paint(a.paintErr, "1;31", s) }

// shown returns a path as short as it can be read from here.
func shown(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
