package cpu

import (
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

// TestGroupNormHardStatistics: neither a mean far from 0 nor an odd pixel, in the sample or beside it,
// spoils the variance.
func TestGroupNormHardStatistics(t *testing.T) {
	const h, w, c, groups, eps = 64, 48, 8, 2, 1e-6
	for name, change := range map[string]func(x []float32){
		"plain":         func([]float32) {},
		"large mean":    func(x []float32) { add(x, 1000) },
		"first pixel":   func(x []float32) { add(x[:c], 3e4) },
		"another pixel": func(x []float32) { add(x[1234*c:][:c], -3e4) },
		"one channel": func(x []float32) {
			for i := 3; i < len(x); i += c {
				x[i] += 500
			}
		},
	} {
		x := noise(7, 1, h, w, c)
		change(x.Data)
		gamma, beta := noise(8, c), noise(9, c)
		y, stats := tensor.New(x.Shape...), tensor.New(1, groups, 2)
		for _, tier := range asm.Available() {
			old := asm.Use(tier)
			F32.GroupNorm(y, stats, x, gamma, beta, groups, eps, false)
			asm.Use(old)
			for g := range groups {
				var mean, variance float64
				each := func(f func(v float64)) {
					for i := range h * w {
						for j := range c / groups {
							f(float64(x.Data[i*c+g*c/groups+j]))
						}
					}
				}
				count := float64(h * w * c / groups)
				each(func(v float64) { mean += v / count })
				each(func(v float64) { variance += (v - mean) * (v - mean) / count })
				rstd := 1 / math.Sqrt(variance+eps)
				require.InEpsilon(t, mean, stats.Data[2*g], 2e-6, "%s %v", name, tier)
				require.InEpsilon(t, rstd, stats.Data[2*g+1], 2e-6, "%s %v", name, tier)
			}
		}
	}
}

func add(x []float32, v float32) {
	for i := range x {
		x[i] += v
	}
}

// TestRowsOnAnyNumberOfThreads: the same bits, and those of the kernels called once.
func TestRowsOnAnyNumberOfThreads(t *testing.T) {
	const rows, c = 1501, 70
	x, dy := noise(1, rows, c), noise(2, rows, c)
	wide, gamma, beta := noise(3, rows, 2*c), noise(4, c), noise(5, c)
	d := F32
	run := func() [][]float32 {
		y, dx, g, dg, s := tensor.New(rows, c), tensor.New(rows, c), tensor.New(rows, c), tensor.New(rows,
			2*c), tensor.New(rows, c)
		ln, ldx, stats := tensor.New(rows, c), tensor.New(rows, c), tensor.New(rows, 2)
		d.Softmax(y, x)
		d.SoftmaxGrad(dx, dy, y)
		d.GEGLU(g, wide)
		d.GEGLUGrad(dg, dy, wide)
		d.Unary(tensor.SiLU, s, x)
		d.LayerNorm(ln, stats, x, gamma, beta, 1e-5)
		d.LayerNormGrad(ldx, nil, nil, dy, x, stats, gamma)
		return [][]float32{y.Data, dx.Data, g.Data, dg.Data, s.Data, ln.Data, ldx.Data}
	}
	for _, tier := range asm.Available() {
		old := asm.Use(tier)
		once := make([][]float32, 7)
		for i := range once {
			once[i] = make([]float32, rows*c)
		}
		once[3] = make([]float32, 2*rows*c)
		stats := make([]float32, 2*rows)
		asm.SoftmaxRows(once[0], x.Data, make([]float32, c), c)
		asm.SoftmaxGradRows(once[1], dy.Data, once[0], c)
		asm.GEGLURows(once[2], wide.Data, c)
		asm.GEGLUGradRows(once[3], dy.Data, wide.Data, c)
		asm.SiLU(once[4], x.Data)
		asm.LayerNormRows(once[5], stats, x.Data, gamma.Data, beta.Data, c, 1e-5)
		asm.LayerNormGradRows(once[6], dy.Data, x.Data, stats, gamma.Data, c)
		threads := runtime.GOMAXPROCS(0)
		for _, n := range []int{1, 2, 5} {
			runtime.GOMAXPROCS(n)
			require.Equal(t, once, run(), "%v, %d threads", tier, n)
		}
		runtime.GOMAXPROCS(threads)
		asm.Use(old)
	}
}

// TestLargeTensors takes the long tasks of tensors that no cache holds.
func TestLargeTensors(t *testing.T) {
	x := tensor.New(1, large/64+3, 64)
	for i := range x.Data {
		x.Data[i] = float32(i%1009)/100 - 5
	}
	y, z := tensor.New(x.Shape...), tensor.New(x.Shape...)
	F32.CopyCols(z, 0, x, 0, 64)
	require.Equal(t, x.Data, z.Data)
	F32.Unary(tensor.ReLU, y, x)
	F32.AddChannels(z, x, tensor.New(1, 64))
	require.Equal(t, x.Data, z.Data)
	for i, v := range x.Data {
		if y.Data[i] != max(v, 0) {
			t.Fatal(i)
		}
	}
	gamma, stats := tensor.New(64), tensor.New(1, 4, 2)
	F32.Fill(gamma, 1)
	F32.GroupNorm(y, stats, x, gamma, tensor.New(64), 4, 0, false)
	const period = 1009 * 64 // every group sees all residues alike
	last := (len(y.Data)/period - 1) * period
	for i := range 1009 {
		require.InDelta(t, (x.Data[i]-x.Data[504])*stats.Data[1], y.Data[i], 2e-3)
		require.InDelta(t, y.Data[i], y.Data[last+i], 2e-3)
	}
}
