package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/descent-ml/descent/tensor"
)

// DataDir returns the data directory: dir if it is not empty (the value of --data-dir), else the
// environment variable DESCENT_DATA, else descent/data in the user's cache folder (a relative
// .descent/data where the system names no such folder). The directory need not exist.
func DataDir(dir string) string {
	if dir != "" {
		return dir
	}
	if dir = os.Getenv("DESCENT_DATA"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = ".descent"
		return filepath.Join(cache, "data")
	}
	return filepath.Join(cache, "descent", "data")
}

// Open reads, splits and normalises the set called name: one of [Names], or the path of a .csv, .tsv,
// .npz or .npy file (text also compressed, as .csv.gz). It returns an [*Error] for an unknown name, a
// file that is missing, not what was published or cut short, and data that cannot be used.
//
// Cost: MNIST is decompressed, checked and counted in about half a second, the JPEG form of CIFAR-10
// decoded in a few; the other sets take milliseconds.
func Open(name string, o Options) (*Set, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if s, ok := sourceByName(name); ok {
		t, err := s.read(s, o)
		if err != nil {
			return nil, err
		}
		return t.set(s.info(o.Dir), o)
	}
	if format := fileFormat(name); format != "" && !isGraph(name) {
		t, err := readTable(name, format, o)
		if err != nil {
			return nil, err
		}
		return t.set(Info{Name: name, Title: filepath.Base(name), Source: name, Licence: "that of the file's owner"}, o)
	}
	if isGraph(name) {
		t, err := readHops(name, o)
		if err != nil {
			return nil, err
		}
		return t.set(Info{Name: name, Title: filepath.Base(name), Source: name, Licence: "that of the file's owner"}, o)
	}
	return nil, unknownName(name)
}

// table is what a reader makes of its source: all examples with their targets, before they are split and
// normalised. Rows lie in the order training, validation, test where those parts are published.
type table struct {
	data
	unit       float64 // of features; 0: 1
	classes    []string
	columns    []Column
	label      string
	train, val int    // examples of the published parts; train 0: nothing is published
	asRead     bool   // features are not standardised
	generated  bool   // the parts are drawn, not published
	how        string // how a graph was cut and spread; empty for others
}

// set splits and normalises t.
func (t *table) set(info Info, o Options) (*Set, error) {
	n := t.rowCount()
	fail := func(what, found, expected string) error {
		return &Error{What: info.Name + ": " + what, Found: found, Expected: expected}
	}
	if o.Task != "" {
		if want, _ := TaskByName(o.Task); want != t.task && want != Reconstruction {
			return nil, fail("the targets do not fit the task", t.task.String(), o.Task)
		}
	}
	if t.shape.Size() == 0 {
		return nil, fail("no features", "examples of shape "+t.shape.String(), "at least one feature")
	}
	train, val, test, split := t.split(o)
	if len(train) == 0 || len(test) == 0 {
		return nil, fail("too few examples for a training and a test part", fmt.Sprint(n), "at least 3, of which the parts take what Options say")
	}
	if t.task == Classification && len(t.classes) < 2 {
		return nil, fail("one class alone", strings.Join(t.classes, ", "), "at least 2 classes")
	}
	d := t.data
	var norm Normalizer
	switch {
	case d.task == Reconstruction:
		d.norm = Normalizer{Input: d.shape.Dims(), Unit: t.unit}
		if norm = d.norm; !t.asRead {
			norm = unitNormalizer(&d, train)
		}
		d.outputs = d.shape.Size()
	case t.asRead:
		norm = Normalizer{Input: d.shape.Dims(), Unit: t.unit}
	default:
		norm = standardNormalizer(&d, train, t.unit)
	}
	norm.Columns, norm.Label, norm.Classes = t.columns, t.label, t.classes
	if d.task == Regression {
		targetStatistics(&d, train, &norm)
	}
	d.setNormalizer(norm)
	s := &Set{
		Name: info.Name, Title: info.Title, Source: info.Source, Licence: info.Licence,
		Task: d.task, Input: d.shape, Outputs: d.outputs, Image: d.image, Normalizer: norm, Split: split,
		Train: Examples{&d, train}, Val: Examples{&d, val}, Test: Examples{&d, test},
	}
	if d.task == Classification {
		s.Classes, s.ClassNames, s.Outputs = len(t.classes), t.classes, len(t.classes)
	}
	if o.Task == Reconstruction.String() {
		return s.AsReconstruction(), nil
	}
	return s, nil
}

// split returns the rows of the three parts, each in ascending order of rows, and says how they were
// chosen. Only a training part that was published without its validation part, or a set without
// parts, is cut, by permutations that depend on the seed of the options alone.
func (t *table) split(o Options) (train, val, test []int32, how string) {
	n := t.rowCount()
	key := tensor.KeyOf(o.Seed).Named("split")
	if t.train > 0 {
		train, val, test = sequence(0, t.train), sequence(t.train, t.train+t.val), sequence(t.train+t.val, n)
		how = "published test part"
		if t.generated {
			how = "test part drawn apart"
		}
	} else {
		fraction := o.Test
		if fraction == 0 {
			fraction = 0.2
		}
		var by []int32
		if how = fmt.Sprintf("test: %g %% at random", 100*fraction); t.task == Classification {
			by, how = t.labels, how+" of each class"
		}
		train, test = cut(sequence(0, n), by, fraction, key.Named("test"))
		how += fmt.Sprintf(" (split seed %d)", o.Seed)
	}
	switch {
	case t.how != "":
		how = t.how
	case len(val) > 0:
		how += "; published validation part"
	case o.Val < 0:
		how += "; no validation part"
	case len(train) > 1:
		fraction := o.Val
		if fraction == 0 {
			fraction = 0.1
		}
		train, val = cut(train, nil, fraction, key.Named("validation"))
		how += fmt.Sprintf("; validation: %g %% of the training part at random (split seed %d)", 100*fraction, o.Seed)
	}
	return train, val, test, how
}

func sequence(lo, hi int) []int32 {
	s := make([]int32, hi-lo)
	for i := range s {
		s[i] = int32(lo + i)
	}
	return s
}

// cut takes fraction of rows away at random: at least one, and of each class in turn if classes, indexed by
// row, are given (none of a class with one row). Both parts keep the order of rows.
func cut(rows, classes []int32, fraction float64, key tensor.Key) (rest, taken []int32) {
	groups := map[int32][]int32{}
	most := int32(0)
	for _, r := range rows {
		c := int32(0)
		if classes != nil {
			c = classes[r]
		}
		groups[c] = append(groups[c], r)
		most = max(most, c)
	}
	take := map[int32]bool{}
	for c := range most + 1 {
		g := groups[c]
		k := int(fraction*float64(len(g)) + 0.5)
		k = min(max(k, 1), len(g)-1)
		perm := make([]int32, len(g))
		tensor.Permutation(key.Fold(uint64(c)), perm)
		for _, i := range perm[:max(0, k)] {
			take[g[i]] = true
		}
	}
	for _, r := range rows {
		if take[r] {
			taken = append(taken, r)
		} else {
			rest = append(rest, r)
		}
	}
	return rest, taken
}

// isGraph reports whether name is the path of a graph's edges.
func isGraph(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, ".gz"), graphEnding)
}
