package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// realData returns a set that is read from files, without validation part, or skips the test. A set is read
// once for all tests.
func realData(t *testing.T, name string) *Set {
	t.Helper()
	if testing.Short() {
		t.Skip("reads large files")
	}
	info, err := Describe(name, "")
	if err != nil {
		t.Fatal(err)
	}
	if !info.Present {
		t.Skipf("no %s in %s: %s", name, info.Folder, info.Get)
	}
	if s, ok := opened.Load(name); ok {
		return s.(*Set)
	}
	s := open(t, name, Options{Val: -1})
	opened.Store(name, s)
	return s
}

var opened sync.Map // sets by name

func open(t testing.TB, name string, o Options) *Set {
	t.Helper()
	s, err := Open(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func classCounts(parts ...Examples) map[int]int {
	n := map[int]int{}
	for _, e := range parts {
		for i := range e.Len() {
			n[e.Label(i)]++
		}
	}
	return n
}

// TestEmbeddedFacts: numbers of rows by class as the descriptions of the sets state them, and some means.
func TestEmbeddedFacts(t *testing.T) {
	for _, c := range []struct {
		name    string
		classes []string
		counts  []int
	}{
		{"digits", []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, []int{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}},
		{"iris", []string{"setosa", "versicolor", "virginica"}, []int{50, 50, 50}},
		{"wine", []string{"class_0", "class_1", "class_2"}, []int{59, 71, 48}},
		{"breast-cancer", []string{"benign", "malignant"}, []int{357, 212}},
	} {
		s := open(t, c.name, Options{})
		if !slices.Equal(s.ClassNames, c.classes) {
			t.Errorf("%s: classes %v", c.name, s.ClassNames)
		}
		n := classCounts(s.Train, s.Val, s.Test)
		for k, want := range c.counts {
			if n[k] != want {
				t.Errorf("%s: %d examples of class %s, want %d", c.name, n[k], c.classes[k], want)
			}
		}
	}
	s := open(t, "diabetes", Options{})
	var sum, n float64
	for _, e := range []Examples{s.Train, s.Val, s.Test} {
		for i := range e.Len() {
			sum, n = sum+e.Value(i, 0), n+1
		}
	}
	if n != 442 || math.Abs(sum/n-152.13348416289594) > 1e-10 {
		t.Errorf("diabetes: %v rows with mean progression %v, want 442 and 152.133484…", n, sum/n)
	}
}

// TestCatalogue opens every set that is here and compares it with its description.
func TestCatalogue(t *testing.T) {
	for _, info := range Names() {
		t.Run(info.Name, func(t *testing.T) {
			if info.Title == "" || info.Licence == "" || info.Source == "" {
				t.Errorf("incomplete description %+v", info)
			}
			if info.Kind == "files" {
				if info.Get == "" {
					t.Error("nobody says how to get it")
				}
			}
			var s *Set
			if info.Kind == "files" {
				s = realData(t, info.Name)
			} else {
				s = open(t, info.Name, Options{})
			}
			if !slices.Equal(s.Input.Dims(), info.Shape) || s.Task != info.Task || s.Outputs != info.Outputs || s.Classes != info.Classes {
				t.Errorf("set %v %v %d outputs %d classes, described as %v %v %d %d", s.Input, s.Task, s.Outputs, s.Classes, info.Shape, info.Task, info.Outputs, info.Classes)
			}
			if n := s.Train.Len() + s.Val.Len(); n != info.Train || s.Test.Len() != info.Test {
				t.Errorf("%d+%d examples, described as %d+%d", n, s.Test.Len(), info.Train, info.Test)
			}
			if err := s.Normalizer.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMNISTFacts(t *testing.T) {
	s := realData(t, "mnist")
	if s.Train.Len() != 60000 || s.Test.Len() != 10000 || s.Train.Label(0) != 5 || s.Test.Label(0) != 7 {
		t.Errorf("%d and %d examples, first labels %d and %d; want 60000, 10000, 5, 7", s.Train.Len(), s.Test.Len(), s.Train.Label(0), s.Test.Label(0))
	}
	n := s.Normalizer
	if m, d := fmt.Sprintf("%.4f", n.Mean[0]), fmt.Sprintf("%.4f", n.SD[0]); m != "0.1307" || d != "0.3081" {
		t.Errorf("mean %s, standard deviation %s of training pixels; want 0.1307, 0.3081", m, d)
	}
	if got := classCounts(s.Train); got[0] != 5923 || got[1] != 6742 || got[9] != 5949 {
		t.Errorf("training examples by class %v", got)
	}
	x := make([]float64, s.Test.Len()*784) // published mean of the test pixels: 0.1325
	idx := sequence(0, s.Test.Len())
	Gather(s.Test, idx, x)
	var sum float64
	for _, v := range x {
		sum += v*n.SD[0] + n.Mean[0]
	}
	if m := fmt.Sprintf("%.4f", sum/float64(len(x))); m != "0.1325" {
		t.Errorf("mean of test pixels %s, want 0.1325", m)
	}
}

func TestFashionFacts(t *testing.T) {
	s := realData(t, "fashion-mnist")
	if m, d := fmt.Sprintf("%.4f", s.Normalizer.Mean[0]), fmt.Sprintf("%.4f", s.Normalizer.SD[0]); m != "0.2860" || d != "0.3530" {
		t.Errorf("mean %s, standard deviation %s; want 0.2860, 0.3530", m, d)
	}
	for k, n := range classCounts(s.Train) {
		if n != 6000 {
			t.Errorf("%d training examples of class %d, want 6000", n, k)
		}
	}
	if s.Train.Label(0) != 9 {
		t.Errorf("first label %d, want 9 (ankle boot)", s.Train.Label(0))
	}
}

func TestCIFARFacts(t *testing.T) {
	s := realData(t, "cifar10")
	// The statistics of the original, which the JPEG form keeps to three digits.
	mean, sd := []float64{0.4914, 0.4822, 0.4465}, []float64{0.2470, 0.2435, 0.2616}
	for c := range 3 {
		if math.Abs(s.Normalizer.Mean[c]-mean[c]) > 1e-3 || math.Abs(s.Normalizer.SD[c]-sd[c]) > 1e-3 {
			t.Errorf("channel %d: mean %.4f, standard deviation %.4f; the original has %.4f, %.4f", c, s.Normalizer.Mean[c], s.Normalizer.SD[c], mean[c], sd[c])
		}
	}
	for k, n := range classCounts(s.Train) {
		if m := classCounts(s.Test)[k]; n != 5000 || m != 1000 {
			t.Errorf("class %d: %d training and %d test examples, want 5000 and 1000", k, n, m)
		}
	}
}

func TestUnknownName(t *testing.T) {
	_, err := Open("mnits", Options{})
	if e := new(Error); !errors.As(err, &e) || !strings.Contains(e.Hint, "mnist") {
		t.Errorf("Open(mnits): %v", err)
	}
	if _, err := Describe("digit", ""); err == nil || !strings.Contains(err.Error(), "\nhint: did you mean digits?") {
		t.Errorf("Describe(digit): %v", err)
	}
}

func TestMissingFiles(t *testing.T) {
	for _, name := range []string{"mnist", "fashion-mnist", "cifar10"} {
		_, err := Open(name, Options{Dir: t.TempDir()})
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "\nhint: download") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open("no/such.csv", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no/such.csv: %v", err)
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, o := range []Options{{Val: 1}, {Val: math.NaN()}, {Test: -1}, {Test: 1}, {Size: -1}, {Size: 1e9}, {Task: "ranking"}, {Task: "regression"}} {
		if _, err := Open("digits", o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
}

func TestDataDir(t *testing.T) {
	t.Setenv("DESCENT_DATA", "/from/env")
	if d := DataDir("/from/flag"); d != "/from/flag" {
		t.Errorf("flag: %s", d)
	}
	if d := DataDir(""); d != "/from/env" {
		t.Errorf("environment: %s", d)
	}
	t.Setenv("DESCENT_DATA", "")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("this system names no cache folder")
	}
	if d := DataDir(""); !strings.HasPrefix(d, cache) {
		t.Errorf("default: %s, not in %s", d, cache)
	}
}
