package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/descent-ml/descent/dataset"
	"github.com/descent-ml/descent/internal/simd"
	"github.com/descent-ml/descent/internal/vfs"
	"github.com/descent-ml/descent/tensor"
)

const (
	runFile     = "run.json"
	resultFile  = "result.json"
	logFile     = "metrics.jsonl"
	runMagic    = "descent-run"
	runVersion  = 1
	runFileSize = 64 << 20
)

// RunInfo is the contents of run.json: everything needed to repeat the run.
type RunInfo struct {
	Format     string             `json:"format"`
	Version    int                `json:"version"`
	Created    string             `json:"created"` // RFC 3339
	Descent    string             `json:"descent"` // version of the program
	Config     Config             `json:"config"`
	Settings   map[string]float64 `json:"settings"` // of the method, complete
	Loss       string             `json:"loss"`
	Model      string             `json:"model"` // with the standard numbers filled in
	Parameters int                `json:"parameters"`
	Data       DataInfo           `json:"data"`
	Machine    Machine            `json:"machine"`
}

// DataInfo says what a run was trained on, and how new rows must be treated.
type DataInfo struct {
	Name       string              `json:"name"`
	Task       string              `json:"task"`
	Split      string              `json:"split"`
	Train      int                 `json:"train"` // examples
	Val        int                 `json:"val"`
	Test       int                 `json:"test"`
	Outputs    int                 `json:"outputs"`
	SHA256     string              `json:"sha256"` // of features, targets and parts; see dataset.Set.Digest
	Normalizer *dataset.Normalizer `json:"normalizer"`
}

// Machine says where a run was made.
type Machine struct {
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	CPU        string `json:"cpu,omitempty"`
	CPUs       int    `json:"cpus"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	SIMD       string `json:"simd"`
	Go         string `json:"go"`
	Host       string `json:"host,omitempty"`
}

// ThisMachine describes the machine that the program runs on.
func ThisMachine() Machine {
	host, _ := os.Hostname()
	return Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: processor(), CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		SIMD: simd.Active().String(), Go: runtime.Version(), Host: host,
	}
}

// processor returns the processor's name where the system has it in a file.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(b), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// ReadRun reads run.json of a run folder. The error says if it is missing, not ours or newer.
func ReadRun(dir string) (*RunInfo, error) { return readRun(vfs.OS{}, dir) }

func readRun(f vfs.FS, dir string) (*RunInfo, error) {
	path := filepath.Join(dir, runFile)
	b, err := vfs.ReadFile(f, path, runFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w\nhint: a run folder is what train --out writes", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	info, err := parseRun(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

func parseRun(b []byte) (*RunInfo, error) {
	info := &RunInfo{}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(info); err != nil {
		return nil, fmt.Errorf("not the run.json of a run: %w", err)
	}
	switch {
	case info.Format != runMagic:
		return nil, fmt.Errorf("found format %q, expected %q\nhint: the file is another program's", info.Format, runMagic)
	case info.Version > runVersion:
		return nil, fmt.Errorf("found version %d, expected at most %d\nhint: a newer descent wrote it; update this one", info.Version, runVersion)
	case info.Version < 1:
		return nil, fmt.Errorf("found version %d, expected %d", info.Version, runVersion)
	}
	if err := info.Config.Validate(); err != nil {
		return nil, err
	}
	if info.Data.Normalizer == nil {
		return nil, errors.New("it has no data.normalizer\nhint: restore the file as train wrote it")
	}
	if err := info.Data.Normalizer.Validate(); err != nil {
		return nil, err
	}
	if _, err := dataset.TaskByName(info.Data.Task); err != nil {
		return nil, err
	}
	if n := info.Data.Outputs; n < 1 || n > 1<<24 {
		return nil, fmt.Errorf("found %d outputs, expected 1 to %d\nhint: restore the file as train wrote it", n, 1<<24)
	}
	return info, nil
}

// ReadResult reads result.json of a run folder, which is there once the run has ended or stopped.
func ReadResult(dir string) (*Result, error) {
	b, err := vfs.ReadFile(vfs.OS{}, filepath.Join(dir, resultFile), runFileSize)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, resultFile), err)
	}
	return r, nil
}

func (s *session[T]) writeRunFile() error {
	d := &s.data
	info := RunInfo{
		Format: runMagic, Version: runVersion, Created: s.started.UTC().Format(time.RFC3339), Descent: s.version(),
		Config: s.config, Settings: s.settings, Loss: s.loss.Name(), Model: s.model.Name(), Parameters: len(s.params),
		Data: DataInfo{Name: d.name, Task: d.task.String(), Split: d.split, Train: d.train.Len(), Outputs: d.outputs, SHA256: d.digest, Normalizer: &d.normalizer},
	}
	if s.run != nil { // a resumed run keeps its origin
		info.Created = s.run.Created
	}
	if d.val != nil {
		info.Data.Val = d.val.Len()
	}
	if d.test != nil {
		info.Data.Test = d.test.Len()
	}
	info.Machine = ThisMachine()
	b, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	return vfs.WriteFile(s.files, filepath.Join(s.options.Out, runFile), append(b, '\n'))
}

// version returns the program's version.
func (s *session[T]) version() string {
	if s.options.Version != "" {
		return s.options.Version
	}
	return Version()
}

// Version returns the version of the module that this program was built with, and "devel" with the
// revision if it was built from a checkout.
func Version() string {
	const module = "github.com/descent-ml/descent"
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, m := range append(b.Deps, &b.Main) {
		if m.Path == module && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	for _, v := range b.Settings {
		if v.Key == "vcs.revision" && len(v.Value) >= 12 && b.Main.Path == module {
			return "devel-" + v.Value[:12]
		}
	}
	return "devel"
}

// digest returns the SHA-256 of the configuration. What cannot change the result is left out: workers,
// when to save, where the data lies.
func (c Config) digest() string {
	c.Workers, c.Save, c.DataDir = 0, Save{}, ""
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain data always has a JSON form, once validated to be finite
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// measure computes the digest of the data.
func (d *source[T]) measure() {
	if d.set != nil {
		d.digest = d.set.Digest()
		return
	}
	h := sha256.New()
	for _, p := range []part[T]{d.train, d.val} {
		if p == nil {
			continue
		}
		b := p.Range(0, p.Len())
		h.Write(appendBytes(nil, b.X.Data()))
		for _, l := range b.Labels {
			h.Write(binary.LittleEndian.AppendUint32(nil, uint32(l)))
		}
		h.Write(appendBytes(nil, b.Values.Data()))
	}
	d.digest = hex.EncodeToString(h.Sum(nil))
}

// appendBytes appends the little-endian bytes of v.
func appendBytes[T tensor.Float](b []byte, v []T) []byte {
	switch v := any(v).(type) {
	case []float32:
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	case []float64:
		for _, x := range v {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
	}
	return b
}

// mkdirAll makes a directory and those above it.
func mkdirAll(f vfs.FS, path string) error {
	err := f.Mkdir(path)
	switch {
	case err == nil || errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path:
		if err := mkdirAll(f, filepath.Dir(path)); err != nil {
			return err
		}
		if err = f.Mkdir(path); errors.Is(err, fs.ErrExist) {
			return nil
		}
	}
	return err
}
