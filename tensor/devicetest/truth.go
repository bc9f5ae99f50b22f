package devicetest

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"psld/tensor"
)

func norm(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return math.Sqrt(s)
}

func dot[A, B float32 | float64](a []A, b []B) float64 {
	s := 0.0
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

// truth is what the reference says about a case: its value, a random cotangent,
// and for random directions of each argument the derivative of <y, cot>.
type truth struct {
	y          Array
	cot        *tensor.Tensor
	directions [][][]float64 // [argument][direction][element]
	slopes     [][]float64
}

var truths = struct {
	sync.Mutex
	of map[string]*truth
}{of: map[string]*truth{}} // the same for all devices

func truthOf(c *Case) *truth {
	truths.Lock()
	defer truths.Unlock()
	if t := truths.of[c.Name]; t != nil {
		return t
	}
	r := rand.New(rand.NewPCG(7, uint64(len(c.Name))))
	x := make([]Array, len(c.Args))
	for i, in := range c.Inputs() {
		x[i] = FromTensor(in)
	}
	t := &truth{y: c.Reference(x)}
	t.cot = tensor.New(t.y.Shape...)
	for i := range t.cot.Data {
		t.cot.Data[i] = float32(r.NormFloat64())
	}
	const h = 1e-5 // the reference is float64: errors of h^2 and 1e-16/h
	for i := range x {
		var dirs [][]float64
		var slopes []float64
		for range 2 {
			d := make([]float64, len(x[i].Data))
			for j := range d {
				d[j] = r.NormFloat64()
			}
			side := func(step float64) float64 {
				moved := slices.Clone(x)
				moved[i] = NewArray(x[i].Shape...)
				for j, v := range x[i].Data {
					moved[i].Data[j] = v + step*d[j]
				}
				return dot(c.Reference(moved).Data, t.cot.Data)
			}
			dirs, slopes = append(dirs, d), append(slopes, (side(h)-side(-h))/(2*h))
		}
		t.directions, t.slopes = append(t.directions, dirs), append(t.slopes, slopes)
	}
	truths.of[c.Name] = t
	return t
}
