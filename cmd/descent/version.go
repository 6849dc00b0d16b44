package main

import (
	"runtime"
	"runtime/debug"
)

// release is set by the linker for a released binary; otherwise the build information tells.
var release string

// version returns the version of this program: the release, the module's version, or the commit it was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if commit == "" {
		return "devel"
	}
	return "devel-" + commit + dirty
}

type versionCmd struct {
	JSON bool `help:"Print one JSON object."`
}

// Help shows the examples.
func (versionCmd) Help() string {
	return "Examples:\n\n    descent version\n    descent version --json"
}

// Run prints the version.
func (c *versionCmd) Run(a *app) error {
	if c.JSON {
		return a.json(map[string]string{"version": version(), "go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH})
	}
	a.printf("descent %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
