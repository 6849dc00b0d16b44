package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/nn"
	"github.com/descent-ml/descent/optim/schedule"
	"github.com/descent-ml/descent/train"
)

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish."`
}

// Help shows the examples.
func (completionCmd) Help() string {
	return `Examples:

    source <(descent completion bash)
    descent completion zsh > "${fpath[1]}/_descent"
    descent completion fish > ~/.config/fish/completions/descent.fish`
}

// Each script asks the program itself, so that it never grows old: descent __complete WORD… prints the candidates for the last
// word, one a line.
var scripts = map[string]string{
	"bash": `_descent() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$(descent __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]##*,}"))
  local head="${COMP_WORDS[COMP_CWORD]}"
  if [[ $head == *,* && $head != *=* ]]; then COMPREPLY=("${COMPREPLY[@]/#/${head%,*},}"); fi
}
complete -o default -F _descent descent
`,
	"zsh": `#compdef descent
_descent() {
  local -a found
  found=("${(@f)$(descent __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compset -P '*,'
  if (( ${#found} )) && [[ -n $found[1] ]]; then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = _descent ]; then _descent "$@"; else compdef _descent descent; fi
`,
	"fish": `complete -c descent -f -a '(descent __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
complete -c descent -n 'string match -qr "^(resume|evaluate|predict|report)" -- (commandline -opc)[2]' -F
`,
}

// Run prints the script of a shell.
func (c *completionCmd) Run(a *app) error {
	s, ok := scripts[strings.ToLower(c.Shell)]
	if !ok {
		return usage(fmt.Errorf("completion: found %q, expected bash, zsh or fish\nhint: for example: source <(descent completion bash)", c.Shell))
	}
	a.printf("%s", s)
	return nil
}

type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints the candidates for the last of the words.
func (c *completeCmd) Run(a *app, k *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, s := range candidates(k.Model, words) {
		a.printf("%s\n", s)
	}
	return nil
}

// candidates returns what the last word may become.
func candidates(model *kong.Application, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	var all []string
	switch node := nodeOf(model, words[:len(words)-1]); {
	case len(words) == 1:
		all = append(verbNames(model), "--help")
	case node != model.Node && len(node.Children) > 0:
		for _, c := range node.Children {
			all = append(all, c.Name)
		}
		all = append(all, "--help")
	case strings.HasPrefix(last, "-"):
		for _, f := range node.Flags {
			all = append(all, "--"+f.Name)
		}
		all = append(all, "--help")
	default:
		all = values(words[0], words[len(words)-2], len(words))
		if i := strings.LastIndex(last, ","); i >= 0 {
			last = last[i+1:]
		}
	}
	var found []string
	for _, s := range all {
		if strings.HasPrefix(s, last) {
			found = append(found, s)
		}
	}
	return found
}

// nodeOf returns the verb that the words begin with.
func nodeOf(model *kong.Application, words []string) *kong.Node {
	node := model.Node
	for _, w := range words {
		i := slices.IndexFunc(node.Children, func(c *kong.Node) bool { return c.Name == w })
		if i < 0 {
			break
		}
		node = node.Children[i]
	}
	return node
}

// values returns the names that fit after an option, or as the argument of a verb.
func values(verb, before string, words int) []string {
	var data, models []string
	for _, d := range dataset.Names() {
		data = append(data, d.Name)
	}
	for _, m := range nn.ModelNames() {
		models = append(models, m.Name)
	}
	switch before {
	case "--method", "--methods":
		return methodNames()
	case "--data":
		return data
	case "--model":
		return models
	case "--activation":
		return nn.Activations()
	case "--loss":
		return []string{"cross-entropy", "squared", "bernoulli", "poisson", "huber"}
	case "--dtype":
		return []string{"float32", "float64"}
	case "--guard":
		return []string{"skip", "shrink", "rewind", "stop"}
	case "--target":
		return train.Metrics()
	case "--schedule":
		var names []string
		for _, n := range schedule.Names() {
			names = append(names, n[0])
		}
		return names
	}
	if words != 2 {
		return nil
	}
	switch verb {
	case "describe":
		return append(append(methodNames(), models...), data...)
	case "data":
		return data
	case "list":
		return []string{"methods", "models", "data"}
	case "completion":
		return []string{"bash", "zsh", "fish"}
	}
	return nil
}
