package curvaturestudy

import (
	"math"
	"slices"
	"testing"

	"github.com/descent-ml/descent/catalogue"
	"github.com/descent-ml/descent/optim/curvature"
	"github.com/descent-ml/descent/optim/matrix"
)

// Every setup of the studies, and every trial of a tuning, is one that its method takes.
func TestSetupsAreValid(t *testing.T) {
	check := func(s Setup) {
		t.Helper()
		spec, err := catalogue.Lookup[float32](s.Method)
		if err == nil {
			_, err = spec.Complete(s.Settings)
		}
		if err != nil {
			t.Error(err)
		}
	}
	rows := slices.Concat(MiniRows(), BigRows(), BigOthers(), BrandRows(), FullRows(), []Row{FullAdam()})
	for _, r := range rows {
		check(r.Setup)
		for _, trial := range r.Grid {
			check(r.With(trial))
		}
	}
	check(SweepSetup(0.1, 1))
	check(AdaptiveSetup(1))
}

// The count of divergences leaves out no method of the two families.
func TestDivergenceHasEveryMethod(t *testing.T) {
	for _, s := range slices.Concat(curvature.Table[float32](), matrix.Table[float32]()) {
		if !slices.Contains(DivergenceMethods, s.Name) {
			t.Errorf("%s is not counted", s.Name)
		}
	}
	for _, name := range DivergenceMethods {
		if _, err := catalogue.Lookup[float32](name); err != nil {
			t.Error(err)
		}
	}
}

func TestCurve(t *testing.T) {
	c := Curve{Points: []Point{{Step: 10, Loss: 5, Test: 3}, {Step: 20, Loss: 4, Test: 2}}}
	if p, ok := c.First(2.5); !ok || p.Step != 20 {
		t.Errorf("first test error of 2.5: %+v", p)
	}
	if p, ok := c.FirstLoss(5); !ok || p.Step != 10 {
		t.Errorf("first loss of 5: %+v", p)
	}
	if _, ok := c.First(1); ok || !math.IsInf(c.At(30).Test, 1) || c.Last().Step != 20 {
		t.Error("points that are not there")
	}
	c.Diverged = true
	if !math.IsInf(c.Last().Test, 1) {
		t.Error("a run that diverged has an end")
	}
	if m := Median([]float64{3, 1, 2}); m != 2 || Median([]float64{1, 2}) != 1.5 || !math.IsInf(Median(nil), 1) {
		t.Errorf("median %v", m)
	}
}

// Pooling means of 2×2 pixels, and every fifth image to the test part.
func TestCut(t *testing.T) {
	images := make([]float32, 10*784)
	for i := range images {
		images[i] = float32(i / 784)
	}
	images[784], images[785], images[784+28], images[784+29] = 0, 0.25, 0.5, 0.25
	small := halved(images)
	if len(small) != 10*196 || small[196] != 0.25 || small[197] != 1 {
		t.Errorf("%d numbers, %v", len(small), small[196:198])
	}
	p := (&Problem{Pixels: 196}).cut(small)
	if p.Images() != 8 || len(p.Test) != 2*196 || p.Test[0] != 4 || p.Test[196] != 9 {
		t.Errorf("%d training images, test parts %v", p.Images(), p.Test[0])
	}
	if v := p.Validation(3); v.Images() != 5 || len(v.Test) != 3*196 || len(p.Train) != 8*196 {
		t.Errorf("%d images left", v.Images())
	}
}
