package prior

import "psld/autograd"

// Halvings is how often the sides of a latent that stands for h x w pixels are to be halved so that it is decoded
// within a second, for who stops a run and waits: estimate is how long a noise estimate of that size takes, in
// seconds. 0 for models that do not know their work, and where nothing is known of the time.
func Halvings(m Prior, h, w int, estimate float64) (n int) {
	const soon = 1
	c, ok := m.(Costed)
	if !ok {
		return 0
	}
	eps, _, decode := c.MACs(h, w)
	shape := m.Shape(h, w)
	for seconds := estimate * float64(decode) / float64(max(1, eps)); seconds > soon; seconds /= 4 {
		if shape[1]>>n%2 != 0 || shape[2]>>n%2 != 0 || min(shape[1], shape[2])>>n < 32 {
			break
		}
		n++
	}
	return n
}

// DecodeCoarse decodes a latent whose sides are halved n times, and enlarges the picture by as much.
func DecodeCoarse(g *autograd.Graph, c Codec, z *autograd.Value, n int) *autograd.Value {
	for range n {
		z = g.Mean2x2(z)
	}
	x := c.Decode(g, z)
	for range n {
		x = g.Enlarge2x(x)
	}
	return x
}
