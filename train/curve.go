package train

// curve is a training curve of bounded size: when it is full, every second point is dropped and
// from then on half as many are taken.
type curve struct {
	points []LossPoint
	stride int64
	seen   int64
}

const curveSize = 4096

func (c *curve) add(p LossPoint) {
	if c.stride == 0 {
		c.stride = 1
	}
	if c.seen++; (c.seen-1)%c.stride != 0 {
		return
	}
	if len(c.points) == curveSize {
		for i := range curveSize / 2 {
			c.points[i] = c.points[2*i]
		}
		c.points = c.points[:curveSize/2]
		c.stride *= 2
		if (c.seen-1)%c.stride != 0 {
			return
		}
	}
	c.points = append(c.points, p)
}
