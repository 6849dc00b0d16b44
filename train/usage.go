package train

import "runtime/metrics"

// runtimeMemory returns the memory that the Go runtime holds, released parts included: an upper bound
// of what it has used.
func runtimeMemory() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}
