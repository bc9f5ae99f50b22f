package bench

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"psld/tensor"
)

// random makes inputs and chooses samples: the same ones each time.
type random struct{ *rand.Rand }

func newRandom(name string) *random {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &random{rand.New(rand.NewPCG(h.Sum64(), 1))}
}

// tensor is filled with uniform numbers in mean-spread..mean+spread.
func (r *random) tensor(mean, spread float32, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	r.fill(t.Data, mean, spread)
	return t
}

func (r *random) fill(x []float32, mean, spread float32) {
	s := r.Uint64() | 1
	for i := range x { // xorshift: a large tensor should take less time to fill than to compute with
		s ^= s << 13
		s ^= s >> 7
		s ^= s << 17
		x[i] = mean + spread*(float32(s>>40)*0x1p-23-1)
	}
}

// sample compares some elements of one or more results with what they should be.
type sample struct{ diff, norm []float64 } // sums of squares, by result

// add compares an element of a result.
func (s *sample) add(result int, got float32, want float64) {
	for len(s.diff) <= result {
		s.diff, s.norm = append(s.diff, 0), append(s.norm, 0)
	}
	d := float64(got) - want
	s.diff[result] += d * d
	s.norm[result] += want * want
}

// error is the relative L2 error of the worst result.
func (s *sample) error() float64 {
	worst := 0.0
	for i := range s.diff {
		e := math.Sqrt(s.diff[i] / s.norm[i])
		if !(e <= worst) { // a NaN is worst of all
			worst = e
		}
	}
	return worst
}

// samples is how many elements of a result are compared.
const samples = 64
