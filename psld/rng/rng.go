// Package rng draws standard normal numbers as PyTorch does, so that a seed
// gives the noise that users of other Stable Diffusion programs know.
//
// One call of Normal stands for one call of torch.randn: the numbers are those
// of a tensor of len(dst) elements in C order, for latents N, C, H, W. Callers
// that keep channels last put them in their place.
package rng

import "fmt"

// Source draws standard normal numbers. Both generators of this package are
// Sources; neither may be used by two goroutines at a time.
type Source interface {
	// Normal fills dst with the numbers of the next call of torch.randn.
	// The numbers depend on how earlier draws were split into calls.
	Normal(dst []float32)
}

// New returns the generator of a kind: "torch" or "" (PyTorch on the CPU, see
// Torch) or "cuda" (PyTorch on an NVIDIA GPU, see CUDA).
func New(kind string, seed uint64) (Source, error) {
	switch kind {
	case "", "torch":
		return NewTorch(seed), nil
	case "cuda":
		return NewCUDA(seed), nil
	}
	return nil, fmt.Errorf("random generator %q, want torch or cuda", kind)
}
