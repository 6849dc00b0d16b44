package dataset

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/descent-ml/descent/tensor"
)

// setFeatures joins the arrays, whose first axis is the examples. Bytes with two more axes are grey
// images, with three images with that many channels; float arrays with three more axes are images too.
func (t *table) setFeatures(parts []Array) error {
	first := parts[0]
	if len(first.Shape) < 1 || len(first.Shape) > 4 {
		return &Error{What: "features of impossible shape", Found: fmt.Sprint(first.Shape),
			Expected: "[examples features], [examples height width] or [examples height width channels]"}
	}
	dims := append([]int{}, first.Shape[1:]...)
	_, bytes := first.Data.([]uint8)
	switch {
	case len(dims) == 0:
		dims = []int{1}
	case len(dims) == 2 && bytes:
		dims, t.image = append(dims, 1), true
	case len(dims) == 3:
		t.image = true
	}
	if size, err := checkedSize(dims, 1); err != nil || size == 0 || size > math.MaxInt32 {
		return &Error{What: "features of impossible shape", Found: fmt.Sprint(first.Shape)}
	}
	t.shape = tensor.ShapeOf(dims...)
	rows := 0
	for _, p := range parts {
		if !slices.Equal(p.Shape[1:], first.Shape[1:]) || p.Type() != first.Type() {
			return &Error{What: "the parts of the features differ", Found: fmt.Sprintf("%s %v", p.Type(), p.Shape), Expected: fmt.Sprintf("%s %v", first.Type(), first.Shape)}
		}
		rows += p.Shape[0]
		switch v := p.Data.(type) {
		case []uint8:
			t.bytes = append(t.bytes, v...)
		case []float32:
			t.f32 = append(t.f32, v...)
		default:
			t.f64 = append(t.f64, asFloats(v)...)
		}
	}
	if rows > math.MaxInt32 {
		return &Error{What: "too many examples", Found: fmt.Sprint(rows), Expected: "less than 2³¹"}
	}
	if bytes {
		t.unit = 255
	}
	size := t.shape.Size()
	for i, v := range t.f32 {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return notFinite("feature", i, size, x)
		}
	}
	for i, x := range t.f64 {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return notFinite("feature", i, size, x)
		}
	}
	return nil
}

func notFinite(what string, i, size int, x float64) error {
	return &Error{What: fmt.Sprintf("%s %d of example %d is not finite", what, i%size, i/size), Found: fmt.Sprint(x),
		Expected: "finite numbers", Hint: "fill it in or leave the example out"}
}

// asFloats returns the elements of an array as float64.
func asFloats(data any) []float64 {
	switch v := data.(type) {
	case []float64:
		return v
	case []float32:
		return convert(v)
	case []int32:
		return convert(v)
	case []int64:
		return convert(v)
	case []uint8:
		return convert(v)
	case []bool:
		x := make([]float64, len(v))
		for i, b := range v {
			if b {
				x[i] = 1
			}
		}
		return x
	}
	panic(fmt.Sprintf("dataset: array of %T", data))
}

func convert[E uint8 | int32 | int64 | float32](v []E) []float64 {
	x := make([]float64, len(v))
	for i, e := range v {
		x[i] = float64(e)
	}
	return x
}

// setTargets joins the arrays of targets: whole-number types are classes (their values, in ascending order,
// are the labels' names), floating-point ones numbers to regress on, unless task says otherwise.
func (t *table) setTargets(parts []Array, task string) error {
	first, width := parts[0], 1
	for _, d := range first.Shape[1:] {
		width *= d
	}
	var y []float64
	for _, p := range parts {
		if !slices.Equal(p.Shape[1:], first.Shape[1:]) || p.Type() != first.Type() {
			return &Error{What: "the parts of the targets differ", Found: fmt.Sprintf("%s %v", p.Type(), p.Shape), Expected: fmt.Sprintf("%s %v", first.Type(), first.Shape)}
		}
		y = append(y, asFloats(p.Data)...)
	}
	if width < 1 || len(y) != t.rowCount()*width {
		return &Error{What: "targets of impossible shape", Found: fmt.Sprint(first.Shape)}
	}
	for i, v := range y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return notFinite("target", i, width, v)
		}
	}
	switch first.Data.(type) {
	case []float32, []float64:
		t.task = Regression
	}
	if task != "" {
		t.task, _ = TaskByName(task)
	}
	if t.task == Regression {
		t.values, t.outputs = y, width
		return nil
	}
	if width != 1 {
		return &Error{What: "classes of impossible shape", Found: fmt.Sprint(first.Shape), Expected: "one label an example",
			Hint: "save the numbers of the classes, not one column a class"}
	}
	distinct := slices.Clone(y)
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	if len(distinct) > maxCategories {
		return &Error{What: "too many classes", Found: strconv.Itoa(len(distinct)), Expected: fmt.Sprintf("at most %d", maxCategories),
			Hint: "save targets of regression as floating-point numbers"}
	}
	for _, v := range distinct {
		t.classes = append(t.classes, strconv.FormatFloat(v, 'g', -1, 64))
	}
	t.labels = make([]int32, len(y))
	for i, v := range y {
		k, _ := slices.BinarySearch(distinct, v)
		t.labels[i] = int32(k)
	}
	return nil
}
