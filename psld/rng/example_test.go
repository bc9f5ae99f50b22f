package rng_test

import (
	"fmt"

	"psld/psld/rng"
)

// The start noise of a 512 x 512 picture with seed 42: what
// torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(42)) begins with.
func Example() {
	source, err := rng.New("torch", 42)
	if err != nil {
		panic(err)
	}
	latent := make([]float32, 4*64*64) // C, H, W
	source.Normal(latent)
	fmt.Printf("%.4f\n", latent[:4])
	// Output: [1.9269 1.4873 0.9007 -2.1055]
}
