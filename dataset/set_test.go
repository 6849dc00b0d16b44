package dataset

import (
	"encoding/json"
	"math"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/descent-ml/descent/tensor"
	"pgregory.net/rapid"
)

// small returns the sets that take no files.
func small() []string {
	return []string{"digits", "iris", "wine", "breast-cancer", "diabetes", "spiral", "blobs", "quadratic"}
}

// TestSplit: the parts are disjoint and complete, the same for the same seed, and each class has its
// share of the test part within one example.
func TestSplit(t *testing.T) {
	for _, name := range small() {
		s := open(t, name, Options{})
		var all []int32
		for _, e := range []Examples{s.Train, s.Val, s.Test} {
			if !slices.IsSorted(e.rows) {
				t.Errorf("%s: rows are not in order", name)
			}
			all = append(all, e.rows...)
		}
		slices.Sort(all)
		if !slices.Equal(all, sequence(0, s.Train.data.rowCount())) {
			t.Errorf("%s: the parts do not make the whole", name)
		}
		if r := open(t, name, Options{}); r.Digest() != s.Digest() {
			t.Errorf("%s: another digest the second time", name)
		}
		other := open(t, name, Options{Seed: 1})
		if other.Digest() == s.Digest() {
			t.Errorf("%s: the same digest for another split seed", name)
		}
		if s.Task == Classification {
			test, every := classCounts(s.Test), classCounts(s.Train, s.Val, s.Test)
			for k, n := range every {
				if d := math.Abs(float64(test[k]) - 0.2*float64(n)); d > 0.5 {
					t.Errorf("%s: class %d has %d of %d examples in the test part", name, k, test[k], n)
				}
			}
		}
	}
	if s := open(t, "iris", Options{Val: -1}); s.Val.Len() != 0 || s.Train.Len() != 120 {
		t.Errorf("no validation asked: %d, training %d", s.Val.Len(), s.Train.Len())
	}
	if s := open(t, "iris", Options{Val: 0.25, Test: 0.5}); s.Val.Len() != 19 || s.Test.Len() != 75 {
		t.Errorf("a quarter of a half of 150: validation %d, test %d", s.Val.Len(), s.Test.Len())
	}
}

// TestSplitIgnoresProcessors: generated data are the same for every GOMAXPROCS.
func TestSplitIgnoresProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	one := open(t, "curves", Options{Size: 500}).Digest()
	runtime.GOMAXPROCS(3)
	three := open(t, "curves", Options{Size: 500}).Digest()
	runtime.GOMAXPROCS(before)
	if one != three {
		t.Error("curves differ between one and three processors")
	}
}

func gatherAll(e Examples) []float64 {
	x := make([]float64, e.Len()*e.Shape().Size())
	Gather(e, sequence(0, e.Len()), x)
	return x
}

// TestStandardised: over the training part each column (or channel) has mean 0 and variance 1.
func TestStandardised(t *testing.T) {
	for _, name := range []string{"digits", "iris", "wine", "breast-cancer", "diabetes", "spiral", "blobs"} {
		s := open(t, name, Options{})
		x, c := gatherAll(s.Train), len(s.Normalizer.Mean)
		if c != s.Input.Cols() {
			t.Errorf("%s: %d means for shape %v", name, c, s.Input)
		}
		checkMoments(t, name, x, c)
		if s.Task == Regression {
			y := make([]float64, s.Train.Len()*s.Outputs)
			GatherValues(s.Train, sequence(0, s.Train.Len()), y)
			checkMoments(t, name+" targets", y, s.Outputs)
			for i := range s.Test.Len() { // and back to original units
				var z [1]float64
				GatherValues(s.Test, []int32{int32(i)}, z[:])
				if v := z[0]*s.Normalizer.TargetSD[0] + s.Normalizer.TargetMean[0]; math.Abs(v-s.Test.Value(i, 0)) > 1e-9 {
					t.Fatalf("%s: target %v comes back as %v", name, s.Test.Value(i, 0), v)
				}
			}
		}
	}
}

func checkMoments(t *testing.T, name string, x []float64, columns int) {
	t.Helper()
	n := float64(len(x) / columns)
	for j := range columns {
		var sum, sq float64
		for i := j; i < len(x); i += columns {
			sum, sq = sum+x[i], sq+x[i]*x[i]
		}
		if math.Abs(sum/n) > 1e-10 || math.Abs(sq/n-1) > 1e-10 {
			t.Errorf("%s: column %d has mean %g and second moment %g", name, j, sum/n, sq/n)
		}
	}
}

// TestNormalizerSeesTrainingAlone: whatever is in the other parts, the normalisation is the same.
func TestNormalizerSeesTrainingAlone(t *testing.T) {
	make := func(scale float64) *Set {
		x := make([]float64, 60)
		for i := range x {
			x[i] = float64(i * i % 17)
			if i >= 40 {
				x[i] *= scale
			}
		}
		y := make([]float64, 30)
		copy(y, x[:20])
		for i := 20; i < 30; i++ {
			y[i] = scale
		}
		tab, err := tableOfArrays([]NamedArray{
			{"x_train", Array{[]int{20, 2}, x[:40]}}, {"y_train", Array{[]int{20}, y[:20]}},
			{"x_test", Array{[]int{10, 2}, x[40:]}}, {"y_test", Array{[]int{10}, y[20:]}},
		}, "")
		if err != nil {
			t.Fatal(err)
		}
		s, err := tab.set(Info{Name: "test"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := make(1), make(1000)
	if !reflect.DeepEqual(a.Normalizer, b.Normalizer) {
		t.Errorf("normalisation depends on the test part:\n%+v\n%+v", a.Normalizer, b.Normalizer)
	}
	if !reflect.DeepEqual(a.AsReconstruction().Normalizer, b.AsReconstruction().Normalizer) {
		t.Error("scaling for reconstruction depends on the test part")
	}
	if a.Digest() == b.Digest() {
		t.Error("the digest does not see the test part")
	}
}

// TestConstantColumn: a column that is constant in training becomes zero, not infinite.
func TestConstantColumn(t *testing.T) {
	tab, err := parseCSV([]byte("a,b,y\n1,0.1,1.5\n2,0.1,2.5\n3,0.1,4.5\n4,0.1,3.5\n5,0.1,0.5\n"), "test.csv", csvOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := tab.set(Info{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range gatherAll(s.Train) {
		if i%2 == 1 && v != 0 {
			t.Errorf("constant column became %v", v)
		}
	}
}

func TestNormalizerJSON(t *testing.T) {
	for _, name := range small() {
		for _, s := range []*Set{open(t, name, Options{}), open(t, name, Options{}).AsReconstruction()} {
			b, err := json.Marshal(s.Normalizer)
			if err != nil {
				t.Fatal(err)
			}
			var n Normalizer
			if err := json.Unmarshal(b, &n); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(n, s.Normalizer) {
				t.Errorf("%s: changed by JSON:\n%+v\n%+v", name, s.Normalizer, n)
			}
			if err := n.Validate(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, n := range []Normalizer{
		{Input: []int{2}, Mean: []float64{0, 0}},
		{Input: []int{2}, Mean: []float64{0, 0, 0}, SD: []float64{1, 1, 1}},
		{Input: []int{2}, Mean: []float64{0}, SD: []float64{0}},
		{Input: []int{1 << 30, 1 << 30}},
		{Input: []int{0}},
		{Input: []int{2}, Unit: -1},
		{Input: []int{2}, Columns: []Column{{Name: "a"}}},
		{Input: []int{2}, TargetMean: []float64{1}},
	} {
		if n.Validate() == nil {
			t.Errorf("accepted %+v", n)
		}
	}
}

// TestGatherIsTheFormula: every element is (raw/unit − mean)/sd up to the rounding of the two constants and
// the result, to the same bits by the kernel (one channel) and by table.
func TestGatherIsTheFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, w, c, n := rapid.IntRange(1, 4).Draw(t, "h"), rapid.IntRange(1, 4).Draw(t, "w"), rapid.IntRange(1, 4).Draw(t, "c"), rapid.IntRange(3, 8).Draw(t, "n")
		pixels := rapid.SliceOfN(rapid.Byte(), n*h*w*c, n*h*w*c).Draw(t, "pixels")
		tab := &table{unit: 255, train: n - 1, classes: []string{"a", "b"}}
		tab.setImages(pixels, h, w, c)
		tab.labels = make([]int32, n)
		s, err := tab.set(Info{}, Options{Val: -1})
		if err != nil {
			t.Fatal(err)
		}
		idx := rapid.SliceOf(rapid.Int32Range(0, int32(n-2))).Draw(t, "idx")
		x32, x64 := make([]float32, len(idx)*h*w*c), make([]float64, len(idx)*h*w*c)
		Gather(s.Train, idx, x32)
		Gather(s.Train, idx, x64)
		for i := range x64 {
			k := int(idx[i/(h*w*c)])*h*w*c + i%(h*w*c)
			want := (float64(pixels[k])/255 - s.Normalizer.Mean[k%c]) / s.Normalizer.SD[k%c]
			// Half a unit in the last place each of scale (times 255), shift and the result.
			m := s.Normalizer.Mean[k%c] / s.Normalizer.SD[k%c]
			bound := 1/s.Normalizer.SD[k%c] + math.Abs(m) + math.Abs(want)
			if math.Abs(x64[i]-want) > 0x1p-51*bound || math.Abs(float64(x32[i])-want) > 0x1p-23*bound {
				t.Fatalf("element %d: %v and %v, want %v", i, x64[i], x32[i], want)
			}
			if d := s.Train.data; x32[i] != d.lut32[k%c][pixels[k]] || x64[i] != d.lut64[k%c][pixels[k]] {
				t.Fatalf("element %d: %v is not the value of the table", i, x32[i])
			}
		}
	})
}

func TestReconstruction(t *testing.T) {
	for _, name := range []string{"digits", "diabetes", "curves"} {
		s := open(t, name, Options{Size: 600}).AsReconstruction()
		if s.Task != Reconstruction || s.Outputs != s.Input.Size() || s.Classes != 0 {
			t.Errorf("%s: %v, %d outputs", name, s.Task, s.Outputs)
		}
		lo, hi := 2.0, -1.0
		for _, e := range []Examples{s.Train, s.Val, s.Test} {
			x := gatherAll(e)
			y := make([]float64, len(x))
			GatherValues(e, sequence(0, e.Len()), y)
			if !slices.Equal(x, y) {
				t.Errorf("%s: the target is not the input", name)
			}
			lo, hi = min(lo, slices.Min(x)), max(hi, slices.Max(x))
		}
		if lo != 0 || hi != 1 {
			t.Errorf("%s: features from %v to %v, want 0 to 1", name, lo, hi)
		}
		b := NewLoader[float64](s.Train).Load([]int32{3, 1})
		if b.Values.Shape() != tensor.ShapeOf(2, s.Outputs) || !slices.Equal(b.Values.Data(), b.X.Data()) {
			t.Errorf("%s: batch values %v", name, b.Values.Shape())
		}
	}
}

// TestWhiteIsOne: scaled for reconstruction, bytes do not leave [0, 1] in either precision.
func TestWhiteIsOne(t *testing.T) {
	for _, name := range []string{"digits", "curves"} {
		d := open(t, name, Options{Size: 300}).AsReconstruction().Train.data
		white := int(d.norm.Unit)
		if d.lut32[0][0] != 0 || d.lut32[0][white] != 1 || d.lut64[0][0] != 0 || d.lut64[0][white] != 1 {
			t.Errorf("%s: black is %v, white %v and %v", name, d.lut32[0][0], d.lut32[0][white], d.lut64[0][white])
		}
	}
}

func TestLoader(t *testing.T) {
	s := open(t, "digits", Options{})
	l := NewLoader[float32](s.Train)
	b := l.Load([]int32{5, 0, 5})
	if b.X.Shape() != tensor.ShapeOf(3, 8, 8, 1) || b.Len() != 3 || len(b.Labels) != 3 || int(b.Labels[1]) != s.Train.Label(0) {
		t.Errorf("batch %v, labels %v", b.X.Shape(), b.Labels)
	}
	if !slices.Equal(b.X.Data()[:64], b.X.Data()[128:]) || b.Labels[0] != b.Labels[2] {
		t.Error("the same example differs within a batch")
	}
	one := slices.Clone(l.Load([]int32{7}).X.Data())
	if !slices.Equal(l.Range(7, 9).X.Data()[:64], one) {
		t.Error("Range differs from Load")
	}
	idx := sequence(0, 64)
	l.Load(idx)
	if n := testing.AllocsPerRun(10, func() { l.Load(idx); l.Range(0, 64) }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestGatherPanics(t *testing.T) {
	s := open(t, "iris", Options{})
	for name, f := range map[string]func(){
		"size":    func() { Gather(s.Train, []int32{0}, make([]float32, 3)) },
		"index":   func() { Gather(s.Train, []int32{1 << 20}, make([]float32, 4)) },
		"values":  func() { GatherValues(s.Train, []int32{0}, make([]float32, 1)) },
		"augment": func() { GatherAugmented(s.Train, []int32{0}, make([]float32, 4), Augmentation{Shift: 1}, tensor.Key{}) },
		"labels":  func() { GatherLabels(open(t, "diabetes", Options{}).Train, []int32{0}, make([]int32, 1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestAugmentation: each augmented image is one of the possible shifts of the original (of a byte
// image, or its values as floats), every shift and both mirrorings come up, and what happens to an
// example does not depend on the batch.
func TestAugmentation(t *testing.T) {
	const h, w, c, n = 5, 4, 3, 400
	pixels := make([]byte, n*h*w*c)
	for i := range pixels {
		pixels[i] = byte(tensor.KeyOf(1).IntN(uint64(i), 256))
	}
	bytesTable := &table{unit: 255, train: n - 1, classes: []string{"a", "b"}}
	bytesTable.setImages(pixels, h, w, c)
	bytesTable.labels = make([]int32, n)
	floats := &table{unit: 255, train: n - 1, classes: []string{"a", "b"}}
	floats.f32 = make([]float32, len(pixels))
	for i, b := range pixels {
		floats.f32[i] = float32(b)
	}
	floats.shape, floats.image, floats.labels = bytesTable.shape, true, bytesTable.labels
	s, err := bytesTable.set(Info{}, Options{Val: -1})
	if err != nil {
		t.Fatal(err)
	}
	f, err := floats.set(Info{}, Options{Val: -1})
	if err != nil {
		t.Fatal(err)
	}
	f.Train.data.setNormalizer(s.Normalizer) // means of the two differ in the last bit
	a, key := Augmentation{Shift: 1, Flip: true}, AugmentKey(3, 0)
	idx := sequence(0, n-1)
	x, y := make([]float64, len(idx)*h*w*c), make([]float64, len(idx)*h*w*c)
	GatherAugmented(s.Train, idx, x, a, key)
	GatherAugmented(f.Train, idx, y, a, key)
	for i := range x {
		if math.Abs(x[i]-y[i]) > 1e-14 {
			t.Fatal("bytes and floats are augmented differently")
		}
	}
	seen := map[[3]int]int{}
	for i := range idx {
		got := x[i*h*w*c:][:h*w*c]
		found := false
		for m := range 18 {
			dy, dx, flip := m%3-1, m/3%3-1, m/9
			if slices.Equal(got, shifted(s, pixels[i*h*w*c:], h, w, c, dy, dx, flip == 1)) {
				seen[[3]int{dy, dx, flip}]++
				found = true
			}
		}
		if !found {
			t.Fatalf("image %d is no shift of the original", i)
		}
	}
	if len(seen) != 18 {
		t.Errorf("%d of 18 changes came up", len(seen))
	}
	one := make([]float64, h*w*c)
	GatherAugmented(s.Train, []int32{17}, one, a, key)
	if !slices.Equal(one, x[17*h*w*c:][:h*w*c]) {
		t.Error("augmentation depends on the batch")
	}
	GatherAugmented(s.Train, idx, y, a, AugmentKey(3, 1))
	if slices.Equal(x, y) {
		t.Error("the same augmentation in the next epoch")
	}
	GatherAugmented(s.Train, idx, y, Augmentation{}, key)
	Gather(s.Train, idx, x)
	if !slices.Equal(x, y) {
		t.Error("the zero augmentation changes images")
	}
}

// shifted is the definition: pad with black, mirror, crop.
func shifted(s *Set, img []byte, h, w, c, dy, dx int, flip bool) []float64 {
	out := make([]float64, 0, h*w*c)
	for y := range h {
		for x := range w {
			for ch := range c {
				var b byte
				if sy, sx := y-dy, x-dx; sy >= 0 && sy < h && sx >= 0 && sx < w {
					if flip {
						sx = w - 1 - sx
					}
					b = img[(sy*w+sx)*c+ch]
				}
				out = append(out, s.Train.data.lut64[ch][b])
			}
		}
	}
	return out
}

// TestQuadraticSpectrum: the second moments of the features have the trace of the stated spectrum, and
// ten large eigenvalues hold nearly all of it.
func TestQuadraticSpectrum(t *testing.T) {
	s := open(t, "quadratic", Options{Size: 20000, Val: -1})
	x := gatherAll(s.Train)
	n := s.Train.Len()
	var trace float64
	for _, v := range x {
		trace += v * v / float64(n)
	}
	if trace < 45+300 || trace > 45+600 { // 90 in (0, 1), 10 in (30, 60)
		t.Errorf("trace of the second moments %v", trace)
	}
	if len(s.Normalizer.Mean) != 0 {
		t.Error("features of quadratic are standardised")
	}
}

func BenchmarkGatherMNISTBatch(b *testing.B) {
	const n = 2000
	tab := &table{unit: 255, train: n - 1, classes: []string{"a", "b"}}
	pixels := make([]byte, n*784)
	for i := range pixels {
		pixels[i] = byte(i * 7)
	}
	tab.setImages(pixels, 28, 28, 1)
	tab.labels = make([]int32, n)
	s, err := tab.set(Info{}, Options{Val: -1})
	if err != nil {
		b.Fatal(err)
	}
	idx := NewSampler(s.Train.Len(), 1, false).Next(256)
	x := make([]float32, 256*784)
	for b.Loop() {
		Gather(s.Train, idx, x)
	}
}

func BenchmarkGatherAugmentedCIFARBatch(b *testing.B) {
	const n = 500
	tab := newCIFAR(n, n-1)
	s, err := tab.set(Info{}, Options{Val: -1})
	if err != nil {
		b.Fatal(err)
	}
	idx := NewSampler(s.Train.Len(), 1, false).Next(128)
	x := make([]float32, 128*3072)
	for b.Loop() {
		GatherAugmented(s.Train, idx, x, Augmentation{Shift: 4, Flip: true}, AugmentKey(1, 0))
	}
}
