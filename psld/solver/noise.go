package solver

import (
	"hash/fnv"
	"math/rand/v2"
)

// keys are those of the first streams, which were keyed by their first letters; they stay, so that a seed keeps its
// picture.
var keys = map[string]uint64{"start": 's', "ddim": 'd', "measurement": 'm', "encoder": 'e'}

// draw returns n standard normal numbers of a stream in a step. The generator's first word is the seed, its second
// one the step and the key of the stream. Other streams than the first ones change the seed by a hash of their names
// and have key 0.
func draw(seed uint64, stream string, step, n int) []float32 {
	key, old := keys[stream]
	if !old {
		h := fnv.New64a()
		h.Write([]byte(stream))
		seed ^= h.Sum64()
	}
	r := rand.New(rand.NewPCG(seed, uint64(step)<<8|key))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}
