package cpu

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"

	"psld/asm"
	"psld/tensor"
)

// TestOperationsAllocateNothing: a call leaves nothing to the collector once the pools hold what it needs, for one
// task and for many.
func TestOperationsAllocateNothing(t *testing.T) {
	if race {
		t.Skip("pools lose memory at random under the race detector")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	r := rand.New(rand.NewPCG(1, 2))
	sizes := []int{5, 23}
	if asm.Active() <= asm.NEON { // slow, or emulated
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		all := allOperations(r, size)
		addConvolutions(all, r, size)
		for name, op := range all {
			leavesNothing(t, name, op)
		}
	}
}

// leavesNothing calls op many times on each device.
func leavesNothing(t *testing.T, name string, op func(d tensor.Device)) {
	t.Helper()
	for _, dev := range []tensor.Device{F32, BF16, BF16Fast, F32X3, Int8} {
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

// allOperations are those but the convolutions, on pictures of size times size + 1 pixels with 64 channels.
func allOperations(r *rand.Rand, size int) map[string]func(d tensor.Device) {
	x, e := normal(r, 1, size, size+1, 64), normal(r, 1, 64)
	y, dx := tensor.New(x.Shape...), tensor.New(x.Shape...)
	wide, dwide := normal(r, 1, size, size+1, 128), tensor.New(1, size, size+1, 128)
	gamma, stats, rowStats := normal(r, 64), tensor.New(1, 8, 2), tensor.New(x.Rows(), 2)
	q, kv, o := normal(r, 1, 11*size, 80), normal(r, 1, 7*size, 80), tensor.New(1, 11*size, 80)
	as, dq, dk, dv := tensor.New(1, 2, 2, 11*size), tensor.New(o.Shape...), tensor.New(kv.Shape...),
		tensor.New(kv.Shape...)
	big := normal(r, 1, 2*size, 2*(size+1), 64)
	at, win := [][2]int{{0, 0}, {1, 2}}, tensor.New(2, 3, 3, 64)
	alongY, alongC := diagonal(1, x.Rows(), 64), diagonal(x.Rows(), 64, 1)
	return map[string]func(d tensor.Device){
		"Sparse, rows":       func(d tensor.Device) { d.Sparse(y, x, alongY) },
		"Sparse, pixels":     func(d tensor.Device) { d.Sparse(y, x, alongC) },
		"AdamW":              func(d tensor.Device) { d.AdamW(y, dx, x, y, x, tensor.AdamW{Correct1: 1, Correct2: 1}) },
		"GroupNorm":          func(d tensor.Device) { d.GroupNorm(y, stats, x, gamma, gamma, 8, 1e-5, true) },
		"GroupNormGrad":      func(d tensor.Device) { d.GroupNormGrad(dx, nil, nil, y, x, stats, gamma, gamma, 8, true) },
		"GroupNormGrad, all": func(d tensor.Device) { d.GroupNormGrad(dx, e, e, y, x, stats, gamma, gamma, 8, true) },
		"LayerNorm":          func(d tensor.Device) { d.LayerNorm(y, rowStats, x, gamma, gamma, 1e-5) },
		"LayerNormGrad":      func(d tensor.Device) { d.LayerNormGrad(dx, nil, nil, y, x, rowStats, gamma) },
		"LayerNormGrad, all": func(d tensor.Device) { d.LayerNormGrad(dx, e, e, y, x, rowStats, gamma) },
		"Softmax":            func(d tensor.Device) { d.Softmax(y, x) },
		"SoftmaxGrad":        func(d tensor.Device) { d.SoftmaxGrad(dx, x, y) },
		"GEGLU":              func(d tensor.Device) { d.GEGLU(y, wide) },
		"GEGLUGrad":          func(d tensor.Device) { d.GEGLUGrad(dwide, y, wide) },
		"Unary":              func(d tensor.Device) { d.Unary(tensor.SiLU, y, x) },
		"UnaryGrad":          func(d tensor.Device) { d.UnaryGrad(tensor.GELU, dx, y, x) },
		"Add":                func(d tensor.Device) { d.Add(y, x, x) },
		"Mul":                func(d tensor.Device) { d.Mul(y, x, x) },
		"Axpy":               func(d tensor.Device) { d.Axpy(y, 0, x) },
		"Scale":              func(d tensor.Device) { d.Scale(y, 2, x) },
		"Clamp":              func(d tensor.Device) { d.Clamp(y, x, -1, 1) },
		"ClampGrad":          func(d tensor.Device) { d.ClampGrad(dx, y, x, -1, 1) },
		"Fill":               func(d tensor.Device) { d.Fill(y, 1) },
		"AddChannels":        func(d tensor.Device) { d.AddChannels(y, x, e) },
		"SumPixels":          func(d tensor.Device) { d.SumPixels(e, x) },
		"Enlarge2x":          func(d tensor.Device) { d.Enlarge2x(big, x) },
		"Mean2x2":            func(d tensor.Device) { d.Mean2x2(x, big) },
		"CopyCols":           func(d tensor.Device) { d.CopyCols(wide, 64, x, 0, 64) },
		"Copy":               func(d tensor.Device) { d.CopyCols(y, 0, x, 0, 64) },
		"Windows":            func(d tensor.Device) { d.Windows(win, x, at) },
		"AddWindows":         func(d tensor.Device) { d.AddWindows(y, win, at) },
		"Sum":                func(d tensor.Device) { d.Sum(x) },
		"SumSquares":         func(d tensor.Device) { d.SumSquares(x) },
		"Dot":                func(d tensor.Device) { d.Dot(x, y) },
		"Attention":          func(d tensor.Device) { d.Attention(o, as, q, kv, kv, 2, false) },
		"AttentionGrad":      func(d tensor.Device) { d.AttentionGrad(dq, dk, dv, q, o, as, q, kv, kv, 2, false) },
	}
}

// diagonal is a sparse matrix with ones along its diagonal.
func diagonal(outer, rows, inner int) *tensor.Sparse {
	start, at, w := []int32{0}, []int32(nil), []float32(nil)
	for r := range rows {
		start, at, w = append(start, int32(r+1)), append(at, int32(r*inner)), append(w, 1)
	}
	return tensor.NewSparse(outer, rows*inner, inner, start, at, w)
}

// addConvolutions adds the convolutions.
func addConvolutions(all map[string]func(d tensor.Device), r *rand.Rand, size int) {
	up, down := tensor.SameConv(3), tensor.SameConv(3)
	up.Upsample, down.Stride = true, 2
	for name, c := range map[string]struct {
		p       tensor.Conv
		in, out int
	}{
		"3x3": {tensor.SameConv(3), 64, 64}, "1x1": {tensor.Conv{KH: 1, KW: 1, Stride: 1}, 64, 128},
		"3x3, direct": {tensor.SameConv(3), 20, 50}, "3x3, thin": {tensor.SameConv(3), 64, 3},
		"3x3 to the few": {tensor.SameConv(3), 4, 64}, "stride 2": {down, 64, 64}, "enlarged": {up, 64, 64},
	} {
		oh, ow := c.p.Out(size, size+1)
		w, b, res := normal(r, c.out, c.in, c.p.KH, c.p.KW), normal(r, c.out), normal(r, 1, oh, ow, c.out)
		x, y := normal(r, 1, size, size+1, c.in), tensor.New(1, oh, ow, c.out)
		dx, dw := tensor.New(x.Shape...), tensor.New(w.Shape...)
		all["Conv2d "+name] = func(d tensor.Device) { d.Conv2d(y, x, w, b, c.p, tensor.Epilogue{}) }
		all["Conv2d+ "+name] = func(d tensor.Device) {
			d.Conv2d(y, x, w, b, c.p, tensor.Epilogue{Scale: 2, Add: res, Func: tensor.SiLU})
		}
		all["Conv2dGradInput "+name] = func(d tensor.Device) { d.Conv2dGradInput(dx, res, w, c.p) }
		all["Conv2dGradWeight "+name] = func(d tensor.Device) { d.Conv2dGradWeight(dw, b, x, res, c.p) }
		if c.p.KH == 1 {
			half := tensor.New(1, oh, ow, c.out/2)
			all["Conv2d, GEGLU"] = func(d tensor.Device) { d.Conv2d(half, x, w, b, c.p, tensor.Epilogue{GEGLU: true}) }
		}
	}
}
