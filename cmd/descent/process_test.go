package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descent-ml/descent/internal/simd"
)

// A test binary that is started with this variable is the program itself.
const asProgram = "DESCENT_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program returns the command that runs descent in a process of its own.
func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	return c
}

// TestSameBits holds the program to its promise: the same parameters, to the bit, on every kind of
// kernel and for any number of processors.
func TestSameBits(t *testing.T) {
	t.Logf("this machine: %+v", simd.Info())
	for _, model := range []string{"mlp:32,32", "2c2d"} {
		var first string
		environments := [][]string{{"GOMAXPROCS=1"}, {"GOMAXPROCS=3"}, {"DESCENT_SIMD=avx2"}}
		if model != "2c2d" { // on which the plain kernels take some ten seconds
			environments = append(environments, []string{"DESCENT_SIMD=go"}, []string{"DESCENT_SIMD=go", "GOMAXPROCS=1"})
		}
		for _, env := range environments {
			out, err := program(t, env, "train", "--data", "digits", "--model", model, "--steps", "3",
				"--json", "--out", filepath.Join(t.TempDir(), "run")).Output()
			if err != nil {
				t.Fatalf("%s %v: %v", model, env, err)
			}
			var r struct {
				Digest string `json:"params_sha256"`
				Steps  int    `json:"steps"`
			}
			if err := json.Unmarshal(out, &r); err != nil || len(r.Digest) != 64 || r.Steps != 3 {
				t.Fatalf("%s %v: %v\n%s", model, env, err, out)
			}
			if first == "" {
				first = r.Digest
			} else if r.Digest != first {
				t.Errorf("%s with %v: parameters %s, with %s before", model, env, r.Digest, first)
			}
		}
	}
}

// TestSignals stops real processes: the first signal saves and leaves with 128 and the signal's number,
// and the run then goes on to the bits of one that was never stopped.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no such signals")
	}
	args := func(dir string) []string {
		return []string{"train", "--data", "digits", "--model", "mlp:32", "--epochs", "400", "--json", "--out", dir}
	}
	digest := func(out []byte) string {
		var r struct {
			Digest string `json:"params_sha256"`
			Status string `json:"status"`
		}
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return r.Status + " " + r.Digest
	}
	whole, err := program(t, nil, args(filepath.Join(t.TempDir(), "whole"))...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		signal syscall.Signal
		status int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		dir := filepath.Join(t.TempDir(), "run")
		cmd := program(t, nil, args(dir)...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The log appears when training has begun.
		for range 400 {
			if _, err := os.Stat(filepath.Join(dir, "metrics.jsonl")); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := cmd.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != c.status {
			t.Fatalf("%v: exit status %d, want %d\n%s", c.signal, got, c.status, stderr.String())
		}
		out, err := program(t, nil, "resume", dir, "--json").Output()
		if err != nil {
			t.Fatalf("%v: resume: %v\n%s", c.signal, err, fmt.Sprint(err))
		}
		if got, want := digest(out), digest(whole); got != want {
			t.Errorf("%v, then resumed: %s, never stopped: %s", c.signal, got, want)
		}
	}
}
