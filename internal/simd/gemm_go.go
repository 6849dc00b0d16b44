package simd

// tileKernel multiplies one tile: m ≤ rows, n ≤ cols.
//
//	acc[i,j] = Σ_p a[i·rs + p·cs] · b[p·bs + j],  p = 0 … k-1 in this order, fused multiply-adds from 0
//	c[i·ldc + j] = α·acc[i,j]  if overwrite, else  α·acc[i,j] + c[i·ldc + j]  rounded once
//
// k > 0.
type tileKernel[T Float] struct {
	rows, cols int
	run        func(m, n, k int, a []T, rs, cs int, b []T, bs int, c []T, ldc int, alpha T, overwrite bool)
}

// tileGo specifies the tile kernels. Four columns at a time keep four chains of additions in flight.
func tileGo[T Float](m, n, k int, a []T, rs, cs int, b []T, bs int, c []T, ldc int, alpha T, overwrite bool) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		j := 0
		for ; j+4 <= n; j += 4 {
			var s0, s1, s2, s3 T
			for p := range k {
				x, y := a[i*rs+p*cs], b[p*bs+j:p*bs+j+4]
				s0, s1, s2, s3 = fma(x, y[0], s0), fma(x, y[1], s1), fma(x, y[2], s2), fma(x, y[3], s3)
			}
			put(&row[j], s0, alpha, overwrite)
			put(&row[j+1], s1, alpha, overwrite)
			put(&row[j+2], s2, alpha, overwrite)
			put(&row[j+3], s3, alpha, overwrite)
		}
		for ; j < n; j++ {
			var s T
			for p := range k {
				s = fma(a[i*rs+p*cs], b[p*bs+j], s)
			}
			put(&row[j], s, alpha, overwrite)
		}
	}
}

func put[T Float](c *T, s, alpha T, overwrite bool) {
	if overwrite {
		*c = alpha * s
	} else {
		*c = fma(alpha, s, *c)
	}
}
