package tensor

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"

	"psld/asm"
)

// TestOperationsAllocateNothing: a call leaves nothing to the collector once the pools hold what it needs, for one task and for many.
func TestOperationsAllocateNothing(t *testing.T) {
	if race {
		t.Skip("pools lose memory at random under the race detector")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	r := rand.New(rand.NewPCG(1, 2))
	check := func(name string, op func(d Device)) {
		for _, dev := range []Device{CPU, CPUBF16, CPUF32X3} {
			const runs = 20
			// Which worker needs how much scratch memory is chance, and so is how many loops wait for helpers that are late,
			// up to some hundreds: some rounds fill the pools.
			least := uint64(runs)
			for range 50 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range runs {
					op(dev)
				}
				runtime.ReadMemStats(&after)
				if least = min(least, after.Mallocs-before.Mallocs); least == 0 {
					break
				}
			}
			assert.Less(t, least, uint64(runs/2), "%s on %s: allocations in %d calls", name, dev.Name(), runs)
		}
	}
	sizes := []int{5, 23}
	if asm.Active() <= asm.NEON { // slow, or emulated
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		x, e := normal(r, 1, size, size+1, 64), normal(r, 1, 64)
		y, dx, wide, dwide := New(x.Shape...), New(x.Shape...), normal(r, 1, size, size+1, 128), New(1, size, size+1, 128)
		gamma, stats, rowStats := normal(r, 64), New(1, 8, 2), New(x.Rows(), 2)
		q, kv, o := normal(r, 1, 11*size, 80), normal(r, 1, 7*size, 80), New(1, 11*size, 80)
		as, dq, dk, dv := New(1, 2, 2, 11*size), New(o.Shape...), New(kv.Shape...), New(kv.Shape...)
		big := normal(r, 1, 2*size, 2*(size+1), 64)
		at, win := [][2]int{{0, 0}, {1, 2}}, New(2, 3, 3, 64)
		all := map[string]func(d Device){
			"GroupNorm":          func(d Device) { d.GroupNorm(y, stats, x, gamma, gamma, 8, 1e-5, true) },
			"GroupNormGrad":      func(d Device) { d.GroupNormGrad(dx, nil, nil, y, x, stats, gamma, gamma, 8, true) },
			"GroupNormGrad, all": func(d Device) { d.GroupNormGrad(dx, e, e, y, x, stats, gamma, gamma, 8, true) },
			"LayerNorm":          func(d Device) { d.LayerNorm(y, rowStats, x, gamma, gamma, 1e-5) },
			"LayerNormGrad":      func(d Device) { d.LayerNormGrad(dx, nil, nil, y, x, rowStats, gamma) },
			"LayerNormGrad, all": func(d Device) { d.LayerNormGrad(dx, e, e, y, x, rowStats, gamma) },
			"Softmax":            func(d Device) { d.Softmax(y, x) },
			"SoftmaxGrad":        func(d Device) { d.SoftmaxGrad(dx, x, y) },
			"GEGLU":              func(d Device) { d.GEGLU(y, wide) },
			"GEGLUGrad":          func(d Device) { d.GEGLUGrad(dwide, y, wide) },
			"Unary":              func(d Device) { d.Unary(SiLU, y, x) },
			"UnaryGrad":          func(d Device) { d.UnaryGrad(GELU, dx, y, x) },
			"Add":                func(d Device) { d.Add(y, x, x) },
			"Mul":                func(d Device) { d.Mul(y, x, x) },
			"Axpy":               func(d Device) { d.Axpy(y, 0, x) },
			"Scale":              func(d Device) { d.Scale(y, 2, x) },
			"Clamp":              func(d Device) { d.Clamp(y, x, -1, 1) },
			"ClampGrad":          func(d Device) { d.ClampGrad(dx, y, x, -1, 1) },
			"Fill":               func(d Device) { d.Fill(y, 1) },
			"AddChannels":        func(d Device) { d.AddChannels(y, x, e) },
			"SumPixels":          func(d Device) { d.SumPixels(e, x) },
			"Enlarge2x":          func(d Device) { d.Enlarge2x(big, x) },
			"Mean2x2":            func(d Device) { d.Mean2x2(x, big) },
			"CopyCols":           func(d Device) { d.CopyCols(wide, 64, x, 0, 64) },
			"Copy":               func(d Device) { d.CopyCols(y, 0, x, 0, 64) },
			"Windows":            func(d Device) { d.Windows(win, x, at) },
			"AddWindows":         func(d Device) { d.AddWindows(y, win, at) },
			"Sum":                func(d Device) { d.Sum(x) },
			"SumSquares":         func(d Device) { d.SumSquares(x) },
			"Dot":                func(d Device) { d.Dot(x, y) },
			"Attention":          func(d Device) { d.Attention(o, as, q, kv, kv, 2, false) },
			"AttentionGrad":      func(d Device) { d.AttentionGrad(dq, dk, dv, q, o, as, q, kv, kv, 2, false) },
		}
		up, down := SameConv(3), SameConv(3)
		up.Upsample, down.Stride = true, 2
		for name, c := range map[string]struct {
			p       Conv
			in, out int
		}{
			"3x3": {SameConv(3), 64, 64}, "1x1": {Conv{KH: 1, KW: 1, Stride: 1}, 64, 128}, "3x3, direct": {SameConv(3), 20, 50},
			"3x3, thin": {SameConv(3), 64, 3}, "3x3 to the few": {SameConv(3), 4, 64}, "stride 2": {down, 64, 64}, "enlarged": {up, 64, 64},
		} {
			oh, ow := c.p.Out(size, size+1)
			w, b, res := normal(r, c.out, c.in, c.p.KH, c.p.KW), normal(r, c.out), normal(r, 1, oh, ow, c.out)
			x, y, dx, dw := normal(r, 1, size, size+1, c.in), New(1, oh, ow, c.out), New(1, size, size+1, c.in), New(w.Shape...)
			all["Conv2d "+name] = func(d Device) { d.Conv2d(y, x, w, b, c.p, Epilogue{}) }
			all["Conv2d+ "+name] = func(d Device) { d.Conv2d(y, x, w, b, c.p, Epilogue{Scale: 2, Add: res, Func: SiLU}) }
			all["Conv2dGradInput "+name] = func(d Device) { d.Conv2dGradInput(dx, res, w, c.p) }
			all["Conv2dGradWeight "+name] = func(d Device) { d.Conv2dGradWeight(dw, b, x, res, c.p) }
			if c.p.KH == 1 {
				half := New(1, oh, ow, c.out/2)
				all["Conv2d, GEGLU"] = func(d Device) { d.Conv2d(half, x, w, b, c.p, Epilogue{GEGLU: true}) }
			}
		}
		for name, op := range all {
			check(name, op)
		}
	}
}
