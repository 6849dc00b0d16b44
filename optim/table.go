package optim

import "github.com/descent-ml/descent/tensor"

// Table returns the catalogue of the first-order methods, in order of increasing complexity.
func Table[T tensor.Float]() []Spec[T] {
	table := []Spec[T]{
		specSGD[T](), specMomentum[T](), specNesterov[T](),
		specAdagrad[T](), specAdadelta[T](), specRMSprop[T](),
		specAdam[T](), specAMSGrad[T](), specAdamW[T](), specAdamax[T](), specNAdam[T](), specRAdam[T](),
		specLion[T](), specADOPT[T](), specAdEMAMix[T](), specAdafactor[T](),
		specLARS[T](), specLAMB[T](),
		specProdigy[T](), specScheduleFreeSGD[T](), specScheduleFreeAdamW[T](),
		specSAM[T](), specLookahead[T](), specSWA[T](),
		specFR[T](), specPR[T](), specSRSGD[T](), specAdaptiveRestart[T](),
		specBNP[T](), specBNPMomentum[T](), specBNPFR[T](), specBNPAdam[T](),
	}
	for i := range table {
		table[i].Settings = append(table[i].Settings, common()...)
	}
	return table
}
