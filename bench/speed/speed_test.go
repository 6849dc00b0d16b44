package main

import "testing"

// BenchmarkSteps trains on one worker, for profiles: go test ./bench/speed -bench Steps/mlp -cpuprofile cpu.prof.
func BenchmarkSteps(b *testing.B) {
	for _, name := range []string{"mlp", "lenet5", "3c3d"} {
		b.Run(name, func(b *testing.B) {
			if _, err := run(name, workloads[name], 1, "adam", 3, b.N); err != nil {
				b.Fatal(err)
			}
		})
	}
}
