package bnpstudy

import "testing"

// One seed of the study: after one epoch with batches of 60, and after two with batches of 2, at the learning rates that the
// study finds.
func TestPreconditioningLearnsAtOnce(t *testing.T) {
	d, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if n := d.train.Len(); n < 1430 || n > 1445 {
		t.Errorf("%d examples to train on", n)
	}
	sgd, bnp := Entries()[0], Entries()[5]
	for _, c := range []struct {
		e      Entry
		rate   float64
		batch  int
		lo, hi float64
	}{
		{sgd, 0.1, 60, 10, 85},
		{bnp, 0.1, 60, 93, 100},
		{bnp, 0.1, 2, 94, 100},
	} {
		o, err := d.Train(c.e, c.rate, c.batch, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s, batch %d: %+v", c.e.Name, c.batch, o)
		if o.First < c.lo || o.First > c.hi {
			t.Errorf("%s, batch %d: accuracy %.1f %%, expected %g to %g", c.e.Name, c.batch, o.First, c.lo, c.hi)
		}
	}
}
