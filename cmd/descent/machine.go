package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/train"
)

// machine is what a result may depend on, or be explained by.
type machine struct {
	System     string `json:"system"`
	Processor  string `json:"processor,omitempty"`
	Cores      int    `json:"cores"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	SIMD       string `json:"simd"`
	Memory     int64  `json:"memory_bytes,omitempty"`
	Limit      int64  `json:"memory_limit_bytes,omitempty"` // of the control group, if it is lower
	Go         string `json:"go"`
}

func thisMachine() machine {
	t := train.ThisMachine()
	m := machine{System: t.OS + "/" + t.Arch, Processor: t.CPU, Cores: t.CPUs, GOMAXPROCS: t.GOMAXPROCS, SIMD: simd.Info(), Go: t.Go}
	if kb, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = kb << 10
	}
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && (m.Memory == 0 || n < m.Memory) {
			m.Limit = n
		}
	}
	return m
}

// field returns the value after "name :" in a file of such lines, "" if there is none (another system).
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, ok := strings.Cut(s.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// findLibrary returns the path of a shared library, "" if it is not where the system keeps them.
func findLibrary(patterns ...string) string {
	for _, dir := range []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib", "/opt/homebrew/lib"} {
		for _, p := range patterns {
			if found, err := filepath.Glob(filepath.Join(dir, p)); err == nil && len(found) > 0 {
				return found[0]
			}
		}
	}
	return ""
}
