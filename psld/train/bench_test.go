package train

import (
	"math/rand/v2"
	"testing"

	"psld/autograd"
	"psld/tensor/cpu"
	"psld/vae"
)

// BenchmarkVAEStep is one training step of the default autoencoder without the optimizer.
func BenchmarkVAEStep(b *testing.B) {
	cfg := vae.Config{InChannels: 3, LatentChannels: 4, BlockOutChannels: []int{32, 64}, LayersPerBlock: 1,
		NormNumGroups: 8, ScalingFactor: 1}
	t := &vaeTask{VAEOptions: VAEOptions{Options: Options{Size: 64}, KL: 1e-4, Edge: .5}, model: vae.New(cfg)}
	t.model.Params.Init(1)
	t.model.Params.RequireGrad(true)
	r := rand.New(rand.NewPCG(1, 1))
	x := normal(r, 16, 64, 64, 3)
	for b.Loop() {
		g := autograd.NewGraph(cpu.F32)
		loss, _ := t.loss(g, x, r)
		g.Backward(loss, nil)
		g.Release()
	}
	b.ReportMetric(16*6*float64(t.macs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
