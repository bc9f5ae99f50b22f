package prior_test

import (
	"fmt"

	"psld/autograd"
	"psld/psld/prior"
	"psld/tensor"
)

// Encode a picture, decode it again and predict the noise in its latent.
func ExampleLatent() {
	m := prior.RandomTiny(1) // prior.Default() for the embedded model
	g := autograd.NoGrad()
	defer g.Release()
	z := m.Encode(g, g.Const(tensor.New(1, 16, 24, 3)), nil)
	x := m.Decode(g, z)
	e := m.Eps(g, z, 500, m.Empty)
	fmt.Println(z.T.Shape, x.T.Shape, e.T.Shape)
	// Output: [1 8 12 4] [1 16 24 3] [1 8 12 4]
}
