package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/lapack"
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/linalg"
)

type doctorCmd struct {
	DataDir string `placeholder:"DIR" help:"Where data sets lie."`
	JSON    bool   `help:"Print one JSON object."`
}

// Help shows the examples.
func (doctorCmd) Help() string {
	return `Examples:

    descent doctor
    descent doctor --json`
}

// finding is one thing looked at.
type finding struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Good   bool   `json:"good"`
	Advice string `json:"advice,omitempty"`
}

// Run looks at the machine.
func (c *doctorCmd) Run(a *app) error {
	m := thisMachine()
	findings := examine(m, c.DataDir)
	if c.JSON {
		return a.json(map[string]any{"version": version(), "machine": m, "data_dir": dataset.DataDir(c.DataDir), "findings": findings})
	}
	var rows [][]string
	for _, f := range findings {
		mark := "ok"
		if !f.Good {
			mark = "–"
		}
		rows = append(rows, []string{mark, f.Name, f.Value})
	}
	a.printf("%s", table([]string{"", "", ""}, rows))
	first := true
	for _, f := range findings {
		if f.Advice == "" {
			continue
		}
		if first {
			a.printf("\n")
			first = false
		}
		a.printf("%s: %s\n", f.Name, f.Advice)
	}
	return nil
}

// examine judges what the machine has. A gap is no error: the program runs everywhere.
func examine(m machine, dataDir string) []finding {
	f := []finding{{Name: "descent", Value: fmt.Sprintf("%s, %s, %s", version(), m.Go, m.System), Good: true}}
	if m.Processor != "" {
		f = append(f, finding{Name: "processor", Value: m.Processor, Good: true})
	}
	cores := finding{Name: "cores", Value: fmt.Sprintf("%d, GOMAXPROCS %d", m.Cores, m.GOMAXPROCS), Good: m.GOMAXPROCS >= m.Cores}
	if !cores.Good {
		cores.Advice = "GOMAXPROCS is below the number of cores: training uses fewer of them (the results are the same)"
	}
	f = append(f, cores)
	kernels := finding{Name: "kernels", Value: m.SIMD, Good: simd.Active() != simd.Go}
	if !kernels.Good {
		kernels.Advice = "plain Go loops are in use; AVX2 or AVX-512 would be several times faster"
		if runtime.GOARCH != "amd64" {
			kernels.Advice += " (amd64 processors only)"
		}
	}
	f = append(f, kernels)
	if m.Memory > 0 {
		memory := finding{Name: "memory", Value: byteSize(float64(m.Memory)), Good: true}
		have := m.Memory
		if m.Limit > 0 {
			memory.Value += ", limited to " + byteSize(float64(m.Limit))
			have = m.Limit
		}
		if have < 1<<30 {
			memory.Good, memory.Advice = false, "below 1 GiB: CIFAR-10 may not fit"
		}
		f = append(f, memory)
	}
	var here, missing []string
	for _, i := range dataset.NamesIn(dataDir) {
		if i.Kind != "files" {
			continue
		}
		if i.Present {
			here = append(here, i.Name)
		} else {
			missing = append(missing, i.Name)
		}
	}
	data := finding{Name: "data", Value: dataset.DataDir(dataDir) + ": " + orElse(strings.Join(here, ", "), "nothing"), Good: len(missing) == 0}
	if !data.Good {
		data.Advice = "not here: " + strings.Join(missing, ", ") + "; descent data NAME says how to get it. Embedded and generated sets need nothing."
	}
	f = append(f, data)
	blas := findLibrary("libopenblas.so*", "openblas-pthread/libopenblas.so*")
	f = append(f, finding{Name: "libraries", Value: "none needed" + map[bool]string{true: "; OpenBLAS for the benchmarks: " + blas, false: ""}[blas != ""], Good: true})
	f = append(f, lapackFinding())
	return f
}

// lapackFinding says whether a LAPACK is there, built in and in use, and how its eigensolver compares with this program's.
func lapackFinding() finding {
	f := finding{Name: "lapack", Good: true}
	asked := os.Getenv(lapack.Variable) != "" && os.Getenv(lapack.Variable) != "0"
	paths := lapack.Find()
	if !lapack.Built {
		f.Value = "not built in, not needed"
		if len(paths) > 0 {
			f.Value += "; on this machine: " + paths[0] + " (go build -tags lapack)"
		}
		if asked {
			f.Good, f.Advice = false, lapack.Variable+" is set, but this program cannot open libraries: build it with go build -tags lapack, on linux or darwin"
		}
		return f
	}
	library, err := lapack.Use()
	switch {
	case err != nil:
		f.Good, f.Value, f.Advice = false, "asked for and not in use: this program's eigensolver is", err.Error()
		return f
	case library != nil:
		f.Value = "in use: " + library.Path
		f.Advice = "results differ in their last bits from those of machines without this library"
	case len(paths) == 0:
		f.Value = "not found, not needed"
		return f
	default:
		if library, err = lapack.OpenFirst(); err != nil {
			f.Value = "found, cannot be used: " + paths[0]
			return f
		}
		f.Value = "found, not in use: " + library.Path + " (" + lapack.Variable + "=1)"
	}
	if own, other, err := linalg.LAPACKSpeed(512); err == nil {
		f.Value += fmt.Sprintf("; order 512, one thread: %.0f ms, this program's own %.0f ms", other.Seconds()*1e3, own.Seconds()*1e3)
	}
	return f
}
