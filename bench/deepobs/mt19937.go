package deepobs

import "math"

// twister is the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998) with the conversions to
// doubles and normal numbers of NumPy's RandomState, whose streams are frozen. The published
// problem is defined by its numbers, so they have to be drawn exactly so; nothing else in this
// module uses it.
type twister struct {
	state   [624]uint32
	next    int
	spare   float64
	isSpare bool
}

func newTwister(seed uint32) *twister {
	t := &twister{next: 624}
	t.state[0] = seed
	for i := 1; i < 624; i++ {
		p := t.state[i-1]
		t.state[i] = 1812433253*(p^p>>30) + uint32(i)
	}
	return t
}

func (t *twister) uint32() uint32 {
	if t.next == 624 {
		for i := range 624 {
			y := t.state[i]&0x80000000 | t.state[(i+1)%624]&0x7fffffff
			t.state[i] = t.state[(i+397)%624] ^ y>>1 ^ (y&1)*0x9908b0df
		}
		t.next = 0
	}
	y := t.state[t.next]
	t.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// float64 returns a uniform number in [0, 1) of 53 bits.
func (t *twister) float64() float64 {
	a, b := t.uint32()>>5, t.uint32()>>6
	return (float64(a)*(1<<26) + float64(b)) / (1 << 53)
}

// normal returns a standard normal number by Marsaglia's polar method; every second one is the
// spare of the first.
func (t *twister) normal() float64 {
	if t.isSpare {
		t.isSpare = false
		return t.spare
	}
	for {
		x, y := 2*t.float64()-1, 2*t.float64()-1
		if r := x*x + y*y; r < 1 && r != 0 {
			f := math.Sqrt(-2 * math.Log(r) / r)
			t.spare, t.isSpare = f*x, true
			return f * y
		}
	}
}
