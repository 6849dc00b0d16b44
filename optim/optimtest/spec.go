package optimtest

import (
	"testing"

	"github.com/descent-ml/descent/optim"
	"github.com/descent-ml/descent/tensor"
)

// ConformSpec is [Conform] for a method of any table, given for both types of numbers.
func ConformSpec(t *testing.T, double optim.Spec[float64], single optim.Spec[float32], row Row) {
	conformer{spec: double, single: single, row: row}.conform(t)
}

type conformer struct {
	spec   optim.Spec[float64]
	single optim.Spec[float32]
	row    Row
}

// newMethod makes the method in numbers of type T.
func newMethod[T tensor.Float](c conformer, env optim.Env, s optim.Settings) (optim.Method[T], error) {
	if spec, ok := any(c.spec).(optim.Spec[T]); ok {
		return spec.Make(env, s)
	}
	return any(c.single).(optim.Spec[T]).Make(env, s)
}

// exempt reports whether the row excepts the named subtest, and logs why.
func (c conformer) exempt(t *testing.T, name string) bool {
	reason, is := c.row.Exempt[name]
	if is {
		t.Logf("%s is not held to %s: %s", c.spec.Name, name, reason)
	}
	return is
}
