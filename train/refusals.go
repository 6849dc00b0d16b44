package train

import "github.com/descent-ml/descent/tensor"

// Refusals returns, for each run, the error with which its method refuses the model, the loss or its settings before the first step;
// nil if it does not. The runs must have the data and the validation part of the first, which are opened once; the second result is
// the error of that. Nothing is trained or written.
func Refusals(runs []Config) ([]error, error) {
	if len(runs) == 0 {
		return nil, nil
	}
	if runs[0].DType == "float64" {
		return refusals[float64](runs)
	}
	return refusals[float32](runs)
}

func refusals[T tensor.Float](runs []Config) ([]error, error) {
	data, err := openSource[T](runs[0].WithDefaults())
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(runs))
	for i, c := range runs {
		if errs[i] = c.Validate(); errs[i] != nil {
			continue
		}
		var s *session[T]
		if s, errs[i] = newSession(c.WithDefaults(), Options{}, data); errs[i] == nil {
			s.pool.Close()
		}
	}
	return errs, nil
}
