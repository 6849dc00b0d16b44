package dataset

import (
	"math"
	"runtime"

	"github.com/descent-ml/descent/tensor"
)

// generateCurves draws 28×28 grey images of smooth curves, the problem on which deep autoencoders were
// first trained with second-order methods (Hinton and Salakhutdinov, 2006; Martens and Grosse, 2015, whose
// images these resemble and are not). An image is one cubic Bézier curve with control points uniform in
// the square, drawn with a soft pen: a pixel at distance d from the curve has brightness 1.5 − d within
// [0, 1]. The first two thirds are for training.
func generateCurves(o Options) *table {
	const side, pixels, steps = 28, 28 * 28, 96
	n, key := sizeOr(o, 30000), tensor.KeyOf(o.Seed).Named("curves")
	t := &table{unit: 255, asRead: true, generated: true, train: max(1, n*2/3)}
	t.task = Reconstruction
	t.setImages(make([]byte, n*pixels), side, side, 1)
	workers := runtime.GOMAXPROCS(0)
	together(workers, func(w int) error {
		var image [pixels]float64
		for i := w * n / workers; i < (w+1)*n/workers; i++ {
			k := key.Fold(uint64(i))
			var p [8]float64 // x₀ y₀ … x₃ y₃
			for j := range p {
				p[j] = 3 + (side-6)*k.Float64(uint64(j))
			}
			clear(image[:])
			for s := range steps + 1 {
				u := float64(s) / steps
				v := 1 - u
				a, b, c, d := v*v*v, 3*v*v*u, 3*v*u*u, u*u*u
				dab(&image, a*p[0]+b*p[2]+c*p[4]+d*p[6], a*p[1]+b*p[3]+c*p[5]+d*p[7])
			}
			for j, z := range image {
				t.bytes[i*pixels+j] = byte(math.RoundToEven(255 * z))
			}
		}
		return nil
	})
	return t
}

// dab brightens the pixels about (x, y), in units of pixels from the centre of the first.
func dab(image *[28 * 28]float64, x, y float64) {
	cx, cy := int(x+0.5), int(y+0.5)
	for i := cy - 1; i <= cy+1; i++ {
		for j := cx - 1; j <= cx+1; j++ {
			dx, dy := float64(j)-x, float64(i)-y
			z := min(1, 1.5-math.Sqrt(dx*dx+dy*dy))
			at := &image[i*28+j]
			*at = max(*at, z)
		}
	}
}
