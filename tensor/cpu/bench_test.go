package cpu

import (
	"fmt"
	"math/rand/v2"
	"psld/tensor"
	"testing"
)

func random(shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range t.Data {
		t.Data[i] = r.Float32()*2 - 1
	}
	return t
}

func BenchmarkConv3x3(b *testing.B) {
	for _, s := range [][4]int{{16, 64, 32, 32}, {16, 32, 64, 64}, {16, 16, 96, 96}, {16, 8, 192, 192},
		{1, 64, 320, 320}} {
		n, hw, ci, co := s[0], s[1], s[2], s[3]
		x, w, bias, y := random(n, hw, hw, ci), random(co, ci, 3, 3), random(co), tensor.New(n, hw, hw, co)
		p := tensor.SameConv(3)
		flop := 2 * 9 * float64(n*hw*hw*ci*co)
		run := func(name string, f func()) {
			b.Run(fmt.Sprintf("%dx%dx%d_%d/%s", n, hw, ci, co, name), func(b *testing.B) {
				for b.Loop() {
					f()
				}
				b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
		run("forward", func() { F32.Conv2d(y, x, w, bias, p, tensor.Epilogue{}) })
		run("gradInput", func() { F32.Conv2dGradInput(x, y, w, p) })
		dw, db := tensor.New(co, ci, 3, 3), tensor.New(co)
		run("gradWeight", func() { F32.Conv2dGradWeight(dw, db, x, y, p) })
	}
}
