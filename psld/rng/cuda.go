package rng

import (
	"encoding/binary"
	"errors"
	"math"
)

// CUDA is PyTorch's generator on NVIDIA GPUs for torch.randn of float32, as
// AUTOMATIC1111's web UI ("NV" random numbers) and stable-diffusion.cpp
// imitate it: number i of call k is made of the first two words
// of Philox4x32-10 (Salmon et al., SC 2011) with counter (k, 0, i, 0) and the
// seed as key.
//
// A GPU gives the same numbers, but for about 1e-6 that its faster logarithm
// and sine cost, to tensors of at most as many elements as it holds threads
// (multiprocessors x 1024 to 2048 each: 43,008 on an RTX 3060, 221,184 on an
// A100): PyTorch gives each element a thread of its own up to there, and uses
// the other words of the same counter beyond. The 16,384 numbers of a 512 x 512
// picture's latent fit on all but the smallest cards.
type CUDA struct {
	seed uint64
	call uint32
}

// NewCUDA returns the generator that torch.cuda.manual_seed(seed) leaves.
func NewCUDA(seed uint64) *CUDA { return &CUDA{seed: seed} }

// Normal implements Source.
func (c *CUDA) Normal(dst []float32) {
	if len(dst) == 0 {
		return
	}
	key := [2]uint32{uint32(c.seed), uint32(c.seed >> 32)}
	for i := range dst {
		w := philox([4]uint32{c.call, 0, uint32(i), 0}, key)
		u := (float64(w[0]) + 0.5) / (1 << 32) // within (0,1)
		angle := (float64(w[1]) + 0.5) * (2 * math.Pi / (1 << 32))
		dst[i] = float32(math.Sqrt(-2*math.Log(u)) * math.Sin(angle))
	}
	c.call++
}

// MarshalBinary returns the generator's state, 13 bytes.
func (c *CUDA) MarshalBinary() ([]byte, error) {
	b := binary.LittleEndian.AppendUint64([]byte{'C'}, c.seed)
	return binary.LittleEndian.AppendUint32(b, c.call), nil
}

// UnmarshalBinary goes on where the generator that MarshalBinary was called on stood.
func (c *CUDA) UnmarshalBinary(b []byte) error {
	if len(b) != 13 || b[0] != 'C' {
		return errors.New("not the state of a cuda generator")
	}
	c.seed, c.call = binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint32(b[9:])
	return nil
}

// philox is the Philox4x32 permutation of a counter, 10 rounds.
func philox(ctr [4]uint32, key [2]uint32) [4]uint32 {
	for range 10 {
		a, b := uint64(ctr[0])*0xd2511f53, uint64(ctr[2])*0xcd9e8d57
		ctr = [4]uint32{uint32(b>>32) ^ ctr[1] ^ key[0], uint32(b), uint32(a>>32) ^ ctr[3] ^ key[1], uint32(a)}
		key[0] += 0x9e3779b9 // golden ratio
		key[1] += 0xbb67ae85 // sqrt(3) - 1
	}
	return ctr
}
