package asymptotics

import (
	"math"
	"sort"
)

// sortedQuantile sorts v and returns its quantile at level, by linear interpolation.
func sortedQuantile(v []float64, level float64) float64 {
	sort.Float64s(v)
	at := level * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

// Line is a straight line fitted to points.
type Line struct {
	Slope, Intercept float64
	SE               float64 // standard error of the slope from the points' own standard errors
	Spread           float64 // standard error of the slope from the residuals; NaN for two points
}

// FitLine fits y = a + b x by least squares with weights 1/se². With se nil the weights are equal and SE is Spread.
func FitLine(x, y, se []float64) Line {
	var sw, sx, sy float64
	w := make([]float64, len(x))
	for i := range x {
		w[i] = 1
		if se != nil {
			w[i] = 1 / (se[i] * se[i])
		}
		sw += w[i]
		sx += w[i] * x[i]
		sy += w[i] * y[i]
	}
	mx, my := sx/sw, sy/sw
	var sxx, sxy float64
	for i := range x {
		sxx += w[i] * (x[i] - mx) * (x[i] - mx)
		sxy += w[i] * (x[i] - mx) * (y[i] - my)
	}
	l := Line{Slope: sxy / sxx, SE: math.Sqrt(1 / sxx)}
	l.Intercept = my - l.Slope*mx
	var rss float64
	for i := range x {
		r := y[i] - l.Intercept - l.Slope*x[i]
		rss += w[i] * r * r
	}
	l.Spread = math.Sqrt(rss / float64(len(x)-2) / sxx)
	if se == nil {
		l.SE = l.Spread
	}
	return l
}

// FitPower fits y = C x^b on logarithms; relSE are relative standard errors of y, or nil.
func FitPower(x, y, relSE []float64) Line {
	lx, ly := make([]float64, len(x)), make([]float64, len(y))
	for i := range x {
		lx[i], ly[i] = math.Log(x[i]), math.Log(y[i])
	}
	return FitLine(lx, ly, relSE)
}

// Moments are the sample moments of a column.
type Moments struct {
	N              int
	Mean, Variance float64
	Skewness       float64
	Kurtosis       float64 // excess
}

// MeanSE returns the standard error of the mean.
func (m Moments) MeanSE() float64 { return math.Sqrt(m.Variance / float64(m.N)) }

// VarianceRelSE returns the relative standard error of the variance of nearly normal data, √((2 + κ)/(n-1)).
func (m Moments) VarianceRelSE() float64 {
	return math.Sqrt(max(0.1, 2+m.Kurtosis) / float64(max(1, m.N-1)))
}

// MomentsOf returns the moments of v.
func MomentsOf(v []float64) Moments {
	n := float64(len(v))
	var mean float64
	for _, x := range v {
		mean += x
	}
	mean /= n
	var m2, m3, m4 float64
	for _, x := range v {
		d := x - mean
		m2 += d * d
		m3 += d * d * d
		m4 += d * d * d * d
	}
	r := Moments{N: len(v), Mean: mean, Variance: m2 / (n - 1)}
	if m2 > 0 {
		r.Skewness = m3 / n / math.Pow(m2/n, 1.5)
		r.Kurtosis = m4*n/(m2*m2) - 3
	}
	return r
}

// KSNormal is the Kolmogorov–Smirnov test of v against the normal law with mean and standard deviation: the distance and
// its asymptotic p-value. v is sorted.
func KSNormal(v []float64, mean, sd float64) (distance, p float64) {
	sort.Float64s(v)
	n := float64(len(v))
	for i, x := range v {
		c := 0.5 * math.Erfc(-(x-mean)/(sd*math.Sqrt2))
		distance = max(distance, c-float64(i)/n, float64(i+1)/n-c)
	}
	return distance, kolmogorov(distance * (math.Sqrt(n) + 0.12 + 0.11/math.Sqrt(n)))
}

// kolmogorov is P(sup |Brownian bridge| > x), by the series that converges fast.
func kolmogorov(x float64) float64 {
	if x < 0.2 {
		return 1
	}
	if x < 1.18 {
		q := math.Exp(-math.Pi * math.Pi / (8 * x * x))
		return 1 - math.Sqrt(2*math.Pi)/x*(q+math.Pow(q, 9)+math.Pow(q, 25))
	}
	q := math.Exp(-2 * x * x)
	return min(1, 2*(q-math.Pow(q, 4)+math.Pow(q, 9)))
}

// Covariance returns the sample covariance of the columns of v [R][K] and their means.
func Covariance(v [][]float64) (cov [][]float64, mean []float64) {
	k := len(v[0])
	mean, cov = make([]float64, k), make([][]float64, k)
	for _, row := range v {
		for j, x := range row {
			mean[j] += x / float64(len(v))
		}
	}
	for i := range k {
		cov[i] = make([]float64, k)
	}
	for _, row := range v {
		for i := range k {
			for j := range k {
				cov[i][j] += (row[i] - mean[i]) * (row[j] - mean[j]) / float64(len(v)-1)
			}
		}
	}
	return cov, mean
}

// RelativeFrobenius returns ‖a - b‖_F / ‖b‖_F.
func RelativeFrobenius(a, b [][]float64) float64 {
	var num, den float64
	for i := range a {
		for j := range a[i] {
			num += (a[i][j] - b[i][j]) * (a[i][j] - b[i][j])
			den += b[i][j] * b[i][j]
		}
	}
	return math.Sqrt(num / den)
}

// columnOf returns column k of v.
func columnOf(v [][]float64, k int) []float64 {
	c := make([]float64, len(v))
	for i := range v {
		c[i] = v[i][k]
	}
	return c
}
