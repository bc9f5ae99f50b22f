package unet_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/weights"
)

// How far Winograd's form with factors rounded to bfloat16 would be off, beside direct products of bfloat16: transforms
// in float32, the transformed input and weights rounded, sums in float32. It is an experiment: no device has it.

// transforms are those of F(m, 3) in one direction, of n = m + 2 points of which the last is infinity: y = A' (Gg * B'd).
type transforms struct{ a, g, b [][]float64 } // [m][n], [n][3], [n][n]

// toomCook makes them for finite points.
func toomCook(points ...float64) (t transforms) {
	n := len(points) + 1
	times := func(a []float64, q float64) []float64 { // (x - q) a
		out := make([]float64, len(a)+1)
		for i, v := range a {
			out[i+1] += v
			out[i] -= q * v
		}
		return out
	}
	t.a = make([][]float64, n-2)
	for i := range t.a {
		t.a[i] = make([]float64, n)
		for j, p := range points {
			t.a[i][j] = math.Pow(p, float64(i))
		}
	}
	t.a[n-3][n-1] = 1
	all := []float64{1}
	for _, q := range points {
		all = times(all, q)
	}
	for j, p := range points {
		norm, poly := 1.0, []float64{1}
		for k, q := range points {
			if k != j {
				norm, poly = norm*(p-q), times(poly, q)
			}
		}
		t.g = append(t.g, []float64{1 / norm, p / norm, p * p / norm})
		t.b = append(t.b, append(poly, 0))
	}
	t.g = append(t.g, []float64{0, 0, 1})
	t.b = append(t.b, all)
	return t
}

// roundedWinograd is BF16 with such 3x3 convolutions of stride 1: rows by one, columns by another of the forms. exact
// leaves the factors as they are, for a test of the transforms.
type roundedWinograd struct {
	tensor.Device
	rows, cols transforms
	exact      bool
}

// Pack implements [tensor.Device]: the elements stay, and the memory that they came in is used for others.
func (d *roundedWinograd) Pack(w *tensor.Tensor) { w.Data = slices.Clone(w.Data) }

func (d *roundedWinograd) fits(w *tensor.Tensor, p tensor.Conv, oh, ow int) bool {
	return p.KH == 3 && p.KW == 3 && p.Stride == 1 && w.Dim(0)%16 == 0 && w.Dim(1)%16 == 0 && min(oh, ow) >= 4
}

// Conv2d implements [tensor.Device].
func (d *roundedWinograd) Conv2d(y, x, w, b *tensor.Tensor, p tensor.Conv, e tensor.Epilogue) {
	if len(w.Shape) < 4 || !d.fits(w, p, y.Dim(1), y.Dim(2)) {
		d.Device.Conv2d(y, x, w, b, p, e)
		return
	}
	o, c := w.Dim(0), w.Dim(1)
	if p.Upsample {
		up := d.Get(x.Dim(0), 2*x.Dim(1), 2*x.Dim(2), x.Dim(3))
		defer d.Put(up)
		d.Enlarge2x(up, x)
		x = up
	}
	d.conv(y, x, w.Data, o, c)
	if b != nil {
		for i := range y.Data {
			y.Data[i] += b.Data[i%o]
		}
	}
	if e.Scale != 0 {
		d.Scale(y, e.Scale, y)
	}
	if e.Add != nil {
		d.Add(y, y, e.Add)
	}
	if e.Func != tensor.Identity {
		d.Unary(e.Func, y, y)
	}
}

// Conv2dGradInput implements [tensor.Device].
func (d *roundedWinograd) Conv2dGradInput(dx, dy, w *tensor.Tensor, p tensor.Conv) {
	if len(w.Shape) < 4 || !d.fits(w, p, dy.Dim(1), dy.Dim(2)) {
		d.Device.Conv2dGradInput(dx, dy, w, p)
		return
	}
	o, c := w.Dim(0), w.Dim(1)
	to := dx
	if p.Upsample {
		to = d.Get(dx.Dim(0), 2*dx.Dim(1), 2*dx.Dim(2), dx.Dim(3))
		defer d.Put(to)
	}
	turned := make([]float32, len(w.Data))
	for i := range o {
		for j := range c {
			for t, v := range w.Data[(i*c+j)*9:][:9] {
				turned[(j*o+i)*9+8-t] = v
			}
		}
	}
	d.conv(to, dy, turned, c, o)
	if p.Upsample {
		d.Mean2x2(dx, to)
		d.Scale(dx, 4, dx)
	}
}

func (d *roundedWinograd) round(x []float32) {
	if !d.exact {
		for i, v := range x {
			u := math.Float32bits(v)
			x[i] = math.Float32frombits((u + 0x7fff + u>>16&1) &^ 0xffff)
		}
	}
}

// conv is y = conv(x, w) with w [o][c][9].
func (d *roundedWinograd) conv(y, x *tensor.Tensor, w []float32, o, c int) {
	n, h, wd := x.Dim(0), x.Dim(1), x.Dim(2)
	nr, nc, mr, mc := len(d.rows.b), len(d.cols.b), len(d.rows.a), len(d.cols.a)
	th, tw := (h+mr-1)/mr, (wd+mc-1)/mc
	pieces := n * th * tw
	v, u, m := tensor.New(1, 1, pieces, c), tensor.New(o, c, 1, 1), tensor.New(1, 1, pieces, o)
	clear(y.Data)
	row := make([]float32, c)
	for i := range nr {
		for j := range nc {
			var k [9]float64
			for t := range 9 {
				k[t] = d.rows.g[i][t/3] * d.cols.g[j][t%3]
			}
			for at := range u.Data {
				g := w[at*9:][:9]
				u.Data[at] = float32(k[0]*float64(g[0]) + k[1]*float64(g[1]) + k[2]*float64(g[2]) + k[3]*float64(g[3]) +
					k[4]*float64(g[4]) + k[5]*float64(g[5]) + k[6]*float64(g[6]) + k[7]*float64(g[7]) + k[8]*float64(g[8]))
			}
			d.round(u.Data)
			u.Changed()
			for q := range pieces {
				img, ty, tx := q/(th*tw), q/tw%th*mr-1, q%tw*mc-1
				clear(row)
				for a, ba := range d.rows.b[i] {
					for b, bb := range d.cols.b[j] {
						f := float32(ba * bb)
						if yy, xx := ty+a, tx+b; f != 0 && yy >= 0 && yy < h && xx >= 0 && xx < wd {
							for ch, s := range x.Data[((img*h+yy)*wd+xx)*c:][:c] {
								row[ch] += f * s
							}
						}
					}
				}
				copy(v.Data[q*c:], row)
			}
			d.round(v.Data)
			cpu.F32.Conv2d(m, v, u, nil, tensor.Conv{KH: 1, KW: 1, Stride: 1}, tensor.Epilogue{})
			for q := range pieces {
				img, ty, tx := q/(th*tw), q/tw%th*mr, q%tw*mc
				for a := range min(mr, h-ty) {
					for b := range min(mc, wd-tx) {
						if f := float32(d.rows.a[a][i] * d.cols.a[b][j]); f != 0 {
							out := y.Data[((img*h+ty+a)*wd+tx+b)*o:][:o]
							for ch, s := range m.Data[q*o:][:o] {
								out[ch] += f * s
							}
						}
					}
				}
			}
		}
	}
}

func winograds() map[string]*roundedWinograd {
	f2, f4 := toomCook(0, 1, -1), toomCook(0, 5./8, -5./8, 3./2, -3./2)
	scaled := toomCook(0, .65, -.65, 1.55, -1.55)
	return map[string]*roundedWinograd{
		"F(2x2)": {cpu.BF16, f2, f2, false}, "F(2x4)": {cpu.BF16, f2, f4, false}, "F(4x4)": {cpu.BF16, f4, f4, false},
		"F(4x4), points .65 and 1.55": {cpu.BF16, scaled, scaled, false}}
}

// TestRoundedWinogradLayers: the error of one convolution in shapes of Stable Diffusion, as a multiple of that of direct
// products of bfloat16. From the transforms alone, for independent numbers, 1.7, 2.8 and 4.8 times follow.
func TestRoundedWinogradLayers(t *testing.T) {
	p := tensor.SameConv(3)
	for _, s := range [][3]int{{9, 64, 96}} {
		r := rand.New(rand.NewPCG(1, 2))
		random := func(shape ...int) *tensor.Tensor {
			x := tensor.New(shape...)
			for i := range x.Data {
				x.Data[i] = float32(r.NormFloat64())
			}
			return x
		}
		x, w := random(1, s[0], s[0], s[1]), random(s[2], s[1], 3, 3)
		want, got := tensor.New(1, s[0], s[0], s[2]), tensor.New(1, s[0], s[0], s[2])
		cpu.F32.Conv2d(want, x, w, nil, p, tensor.Epilogue{})
		cpu.BF16.Conv2d(got, x, w, nil, p, tensor.Epilogue{})
		direct := golden.RelL2(got.Data, want.Data)
		limits := map[string]float64{"F(2x2)": 1.9, "F(2x4)": 3.3, "F(4x4)": 5.5, "F(4x4), points .65 and 1.55": 5.5}
		for name, d := range winograds() {
			d.exact = true
			d.Conv2d(got, x, w, nil, p, tensor.Epilogue{})
			require.Less(t, golden.RelL2(got.Data, want.Data), 1e-5, name)
			d.exact = false
			d.Conv2d(got, x, w, nil, p, tensor.Epilogue{})
			off := golden.RelL2(got.Data, want.Data)
			t.Logf("%v %s: %.2g, direct %.2g, %.2f times", s, name, off, direct, off/direct)
			require.Less(t, off/direct, limits[name], name)
		}
	}
}

// TestRoundedWinograd: noise estimate and gradient of a UNet whose weights a rule makes, against f32. PSLD_WINOGRAD=1
// asks for it.
func TestRoundedWinograd(t *testing.T) {
	if os.Getenv("PSLD_WINOGRAD") == "" {
		t.Skip("an experiment: set PSLD_WINOGRAD=1 to run it")
	}
	for _, dir := range generated(t) {
		var c genCase
		golden.JSON(t, filepath.Join(dir, "case.json"), &c)
		f := golden.Load(t, filepath.Join(dir, "io.safetensors"))
		cfg, layout := c.config()
		size := fmt.Sprintf("%dx%d", c.Latents[0][0], c.Latents[0][1])
		run := func(dev tensor.Device) (eps, grad []float32) {
			m := unet.New(cfg)
			require.NoError(t, m.Params.LoadFrozen(golden.Gen(weights.UNetPart, layout), dev))
			g := autograd.NewGraph(dev)
			defer g.Release()
			z := g.Input(nhwc(t, f, "in.z."+size))
			e := m.Forward(g, z, []float32{float32(c.Timesteps[0])}, g.Const(nhwc(t, f, "out.clip.last_hidden_state")))
			eps = append(eps, e.T.Data...)
			g.Backward(e, nhwc(t, f, "in.cot."+size))
			return eps, append(grad, z.Grad().Data...)
		}
		eps, grad := run(cpu.F32)
		report := func(name string, dev tensor.Device) {
			e, d := run(dev)
			t.Logf("%s %s: eps %.2g, gradient %.2g, cosine 1 - %.2g", filepath.Base(dir), name, golden.RelL2(e, eps),
				golden.RelL2(d, grad), 1-cosine(d, grad))
		}
		report("direct", cpu.BF16)
		for name, d := range winograds() {
			report(name, d)
		}
	}
}
