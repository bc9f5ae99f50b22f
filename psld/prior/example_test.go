package prior_test

import (
	"context"
	"fmt"

	"psld/autograd"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
)

// Encode a picture, decode it again and predict the noise in its latent.
func ExampleLatentDiffusion() {
	m := prior.RandomTiny(1) // prior.Default() for the embedded model
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z := m.Encode(g, g.Const(tensor.New(1, 16, 24, 3)), nil)
	x := m.Decode(g, z)
	e := m.Eps(g, z, 500, m.Empty)
	fmt.Println(z.T.Shape, x.T.Shape, e.T.Shape)
	// Output: [1 8 12 4] [1 16 24 3] [1 8 12 4]
}

// Make a picture from a prompt, and another one from that.
func ExampleLatentDiffusion_Generate() {
	m := prior.RandomTiny(1) // prior.Open(ctx, "path/to/stable-diffusion", prior.Options{}) for a real one
	ctx := context.Background()
	first, err := m.Generate(ctx, prior.Generation{Prompt: "a red rose", Negative: "blurry", Steps: 5, Width: 24,
		Height: 16, Seed: 42})
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := m.Generate(ctx, prior.Generation{Prompt: "a blue rose", Init: first[0], Strength: 0.6,
		Sampler: "euler_a", Steps: 5, Seed: 42})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first[0].Bounds(), second[0].Bounds())
	// Output: (0,0)-(24,16) (0,0)-(24,16)
}

// Open says what is wrong with a model, here that it is not there.
func ExampleOpen() {
	_, err := prior.Open(context.Background(), "no/such/model.safetensors", prior.Options{Precision: "bf16"})
	fmt.Println(err != nil)
	// Output: true
}
