package dataset

import (
	"fmt"

	"github.com/descent-ml/descent/tensor"
)

// Augmentation is a random change of training images that leaves their label true. The zero value
// changes nothing.
type Augmentation struct {
	// Shift moves the image by up to so many pixels in each direction, all shifts equally
	// likely: the same as padding with black by Shift and cropping at random.
	Shift int `json:"shift,omitempty"`
	// Flip mirrors every second image, left to right.
	Flip bool `json:"flip,omitempty"`
}

// AugmentKey returns the random stream of augmentation in one epoch.
func AugmentKey(seed uint64, epoch int64) tensor.Key {
	return tensor.KeyOf(seed).Named("augment").Fold(uint64(epoch))
}

// GatherAugmented is [Gather] with the images changed by a. What happens to an example is a function
// of key and its index, not of the batch that it is in. It panics if a is not zero and the examples are
// no images.
func GatherAugmented[T tensor.Float](e Examples, idx []int32, x []T, a Augmentation, key tensor.Key) {
	if a == (Augmentation{}) {
		Gather(e, idx, x)
		return
	}
	d := e.data
	if !d.image || a.Shift < 0 {
		panic(fmt.Sprintf("dataset: augmentation %+v of examples of shape %v", a, d.shape))
	}
	size := d.size(len(idx), len(x))
	for i, k := range idx {
		row, dst := int(e.rows[k]), x[i*size:(i+1)*size]
		dy := key.IntN(4*uint64(k), 2*a.Shift+1) - a.Shift
		dx := key.IntN(4*uint64(k)+1, 2*a.Shift+1) - a.Shift
		flip := a.Flip && key.IntN(4*uint64(k)+2, 2) == 1
		if dy == 0 && dx == 0 && !flip {
			gatherRow(d, row, dst)
			continue
		}
		moveRow(d, row, dst, dy, dx, flip)
	}
}

// moveRow stores the image of a row, mirrored if flip is set, then moved down by dy and right by dx.
// Pixels that come from outside are black, which is raw 0 normalised.
func moveRow[T tensor.Float](d *data, row int, dst []T, dy, dx int, flip bool) {
	h, w, c := d.shape.Dim(0), d.shape.Dim(1), d.shape.Dim(2)
	base := row * h * w * c
	if d.bytes == nil {
		for i := range dst {
			at, ch := -1, i%c
			if sy, sx := source2D(i/c/w, i/c%w, w, dy, dx, flip); sy >= 0 && sy < h && sx >= 0 && sx < w {
				at = (sy*w+sx)*c + ch
			}
			dst[i] = T(d.normalised(base, at, ch))
		}
		return
	}
	lut, src := tables[T](d), d.bytes[base:base+h*w*c]
	for ch := range c {
		t := &lut[ch%len(lut)]
		for y := range h {
			for x := range w {
				var b byte
				if sy, sx := source2D(y, x, w, dy, dx, flip); uint(sy) < uint(h) && uint(sx) < uint(w) {
					b = src[(sy*w+sx)*c+ch]
				}
				dst[(y*w+x)*c+ch] = t[b]
			}
		}
	}
}

// source2D returns the position in the original of pixel (y, x) of the mirrored and moved image.
func source2D(y, x, w, dy, dx int, flip bool) (sy, sx int) {
	sy, sx = y-dy, x-dx
	if flip {
		sx = w - 1 - sx
	}
	return sy, sx
}

// normalised returns feature at of the row that begins at base, of channel ch, or black if at < 0, for data
// that are not bytes.
func (d *data) normalised(base, at, ch int) float64 {
	var v float64
	switch {
	case at >= 0 && d.f32 != nil:
		v = float64(d.f32[base+at])
	case at >= 0:
		v = d.f64[base+at]
	}
	if v /= d.norm.unit(); len(d.norm.Mean) > 0 {
		k := ch % len(d.norm.Mean)
		v = (v - d.norm.Mean[k]) / d.norm.SD[k]
		if d.clip {
			v = min(max(v, 0), 1)
		}
	}
	return v
}
