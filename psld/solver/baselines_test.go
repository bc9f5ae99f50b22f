package solver

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
	"psld/unet"
	"psld/weights"
)

// baselines is baselines.json: runs of the published DPS and DDRM code on a random network.
type baselines struct {
	UNet struct {
		unet.GuidedConfig
		ChannelMult          string `json:"channel_mult"`
		AttentionResolutions string `json:"attention_resolutions"`
	} `json:"unet_config"`
	DPS []struct {
		File, Operator, Method string
		Scale                  float64
		S                      int
		Map                    []int `json:"timestep_map"`
	}
	DDRM []struct {
		File, Deg        string
		Sigma            float64 `json:"sigma_0"`
		EtaA, EtaB, EtaC float64
		Seq              []int
	}
}

func (b baselines) prior(t *testing.T, dir string) *prior.Pixel {
	numbers := func(s string) (list []int) {
		for _, f := range strings.Split(s, ",") {
			n, err := strconv.Atoi(f)
			require.NoError(t, err)
			list = append(list, n)
		}
		return list
	}
	cfg := b.UNet.GuidedConfig
	cfg.ChannelMult, cfg.AttentionResolutions = numbers(b.UNet.ChannelMult), numbers(b.UNet.AttentionResolutions)
	cfg.NormGroups = 32
	m := &prior.Pixel{UNet: unet.NewGuided(cfg), Noise: prior.PixelSchedule()}
	w, err := weights.Open(filepath.Join(dir, "guided_unet.fp16.safetensors"))
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, m.UNet.Params.Load(weights.NewSet(w)))
	return m
}

// TestGoldenDPS holds every step of the published DPS, MCG and Score-SDE, fed with the recorded state before it,
// against the recorded one after it.
func TestGoldenDPS(t *testing.T) {
	for _, dir := range golden.Folders(t, "baselines") {
		var b baselines
		golden.JSON(t, filepath.Join(dir, "baselines.json"), &b)
		shared := golden.Load(t, filepath.Join(dir, "shared.safetensors"))
		m := b.prior(t, dir)
		for _, c := range b.DPS {
			t.Run(c.File, func(t *testing.T) {
				f := golden.Load(t, filepath.Join(dir, c.File))
				x, h, w, ch := hwc(t, shared, "x_start")
				y, _, _, _ := hwc(t, shared, "y."+c.Operator)
				ddpm, onto := DDPM{Steps: c.S, Clip: true}, Projection{Ridge: 0.01, Published: true}
				method := map[string]Method{"ps": &DPS{ddpm, Guide{Omega: c.Scale}},
					"mcg":        &MCG{ddpm, Guide{Omega: c.Scale}, onto},
					"projection": &ScoreSDE{ddpm, onto}}[c.Method]
				o := Options{noise: func(stream string, step, _ int) []float32 {
					n, ok := map[string]int{"ddpm": 2 * step, "projection": 2*step + 1}[stream]
					require.True(t, ok, stream)
					noise, _, _, _ := hwc(t, f, fmt.Sprintf("rng.noise%d", n))
					return noise
				}}
				o.Conditions.Scale, o.Inner = 1, true
				r := newRun(m, Problem{A: baselineOperator(t, c.Operator, shared, h, w), Y: y}, o)
				s, err := method.Bind(r)
				require.NoError(t, err)
				require.Equal(t, c.Map, s.(*ancestral).d.Timesteps)
				require.Equal(t, c.S, s.Len())
				for step := range c.S {
					st := &State{Step: step, Steps: c.S, Vars: map[string]*tensor.Tensor{"z": tensor.From(x, 1, h, w, ch)}}
					report, err := s.Step(t.Context(), st)
					require.NoError(t, err)
					at := fmt.Sprintf("step%d.", step)
					x, _, _, _ = hwc(t, f, at+"x_next")
					golden.Check(t, at+"x_next", st.Vars["z"].Data, x, 1e-4)
					if c.Method != "projection" {
						distance, err := f.Float64(at + "distance")
						require.NoError(t, err)
						require.InEpsilon(t, distance[0], report.Measurement, 1e-4)
					}
					if f.Has(at + "pred_xstart") {
						want, _, _, _ := hwc(t, f, at+"pred_xstart")
						golden.Check(t, at+"pred_xstart", st.Vars["z0"].Data, want, 1e-4)
						want, _, _, _ = hwc(t, f, at+"sample")
						golden.Check(t, at+"sample", report.Inner["sample"], want, 1e-4)
					}
				}
			})
		}
	}
}

// TestGoldenDDPM holds the respaced schedule against guided diffusion's. Ours begins with float32 shares of signal:
// 1-a has a relative error of up to 6e-8/1e-4 at the first time, which is the error of its logarithm.
func TestGoldenDDPM(t *testing.T) {
	for _, dir := range golden.Folders(t, "baselines") {
		f := golden.Load(t, filepath.Join(dir, "shared.safetensors"))
		alphas, err := f.Float64("sched.alphas_cumprod")
		require.NoError(t, err)
		d, err := prior.PixelSchedule().DDPM(len(alphas))
		require.NoError(t, err)
		for name, got := range map[string][]float64{"alphas_cumprod": d.Alphas, "posterior_mean_coef1": d.FromX0,
			"posterior_mean_coef2": d.FromX, "posterior_log_variance_clipped": d.LogSmall} {
			want, err := f.Float64("sched." + name)
			require.NoError(t, err)
			require.InDeltaSlice(t, want, got, 6e-4, name)
		}
	}
}

func baselineOperator(t *testing.T, name string, shared *weights.File, h, w int) operator.Linear {
	var a operator.Linear
	var err error
	switch name {
	case "inpainting":
		mask, e := shared.Bytes("mask")
		require.NoError(t, e)
		keep := make([]bool, len(mask))
		for i, v := range mask {
			keep[i] = v != 0
		}
		a, err = operator.NewMask(h, w, 3, keep)
	case "sr4":
		a, err = operator.NewSR(h, w, 3, 4)
	default:
		values, shape := golden.F32(t, shared, "kernel."+name)
		k64 := make([]float64, len(values))
		for i, v := range values {
			k64[i] = float64(v)
		}
		k, e := operator.NewKernel(shape[0], k64)
		require.NoError(t, e)
		a, err = operator.NewBlur(h, w, 3, k)
	}
	require.NoError(t, err)
	return a
}

// svdOperator is an operator that is known by its decomposition: coefficients in the order of the published code,
// measurements as its vectors.
type svdOperator struct {
	in, out operator.Shape
	u, v    operator.Linear
	s       []float32
}

func (a *svdOperator) In() operator.Shape     { return a.in }
func (a *svdOperator) Out() operator.Shape    { return a.out }
func (a *svdOperator) SVD() *operator.SVD     { return &operator.SVD{U: a.u, V: a.v, S: a.s} }
func (a *svdOperator) Adjoint(_, _ []float32) { panic("not used") }
func (a *svdOperator) Apply(dst, x []float32) {
	c := make([]float32, len(x))
	a.v.Adjoint(c, x)
	for i := range c {
		c[i] *= a.s[i]
	}
	a.u.Apply(dst, c[:len(dst)])
}

// orthogonal is a map by two functions.
type orthogonal struct {
	shape         operator.Shape
	apply, adjoin func(dst, x []float32)
}

func (m orthogonal) In() operator.Shape       { return m.shape }
func (m orthogonal) Out() operator.Shape      { return m.shape }
func (m orthogonal) Apply(dst, x []float32)   { m.apply(dst, x) }
func (m orthogonal) Adjoint(dst, x []float32) { m.adjoin(dst, x) }

// sparse makes an orthogonal map of entries (row, column, value).
type entry struct {
	row, col int
	value    float32
}

func sparse(shape operator.Shape, list []entry) orthogonal {
	return orthogonal{shape,
		func(dst, x []float32) {
			clear(dst)
			for _, e := range list {
				dst[e.row] += e.value * x[e.col]
			}
		},
		func(dst, x []float32) {
			clear(dst)
			for _, e := range list {
				dst[e.col] += e.value * x[e.row]
			}
		}}
}

// publishedSVD is the decomposition of a recorded case, of pictures of n x n pixels.
func publishedSVD(t *testing.T, deg string, f *weights.File, n int) *svdOperator {
	s, _ := golden.F32(t, f, "singulars")
	y, _ := golden.F32(t, f, "y0")
	a := &svdOperator{in: operator.Shape{H: n, W: n, C: 3}, out: operator.Shape{H: len(y) / (3 * n), W: n, C: 3},
		s: make([]float32, 3*n*n)}
	copy(a.s, s)
	same := func(m int) (list []entry) {
		for i := range m {
			list = append(list, entry{i, i, 1})
		}
		return list
	}
	a.u = sparse(a.out, same(len(y)))
	var v []entry
	switch deg {
	case "inpainting": // of indices [pixel][channel]
		for k, name := range []string{"svd.kept_indices", "svd.missing_indices"} {
			index, err := f.Int64(name)
			require.NoError(t, err)
			for q, i := range index {
				v = append(v, entry{int(i), q + k*len(y), 1})
			}
		}
	case "sr4":
		small, _ := golden.F32(t, f, "svd.V_small")
		side, blocks := n/4, 3*n*n/16
		for j := range blocks {
			c, by, bx := j/(side*side), j/side%side, j%side
			for i := range 16 {
				row := ((4*by+i/4)*n+4*bx+i%4)*3 + c
				for k := range 16 {
					col := j
					if k > 0 {
						col = blocks + k - 1 + 15*j
					}
					v = append(v, entry{row, col, small[i*16+k]})
				}
			}
		}
		sign, _ := golden.F32(t, f, "svd.U_small")
		u := same(len(y))
		for i := range u {
			u[i].value = sign[0]
		}
		a.u = sparse(a.out, u)
	default: // separable, coefficients [sorted frequency][channel]
		perm, err := f.Int64("svd._perm")
		require.NoError(t, err)
		a.v = separableSVD(t, f, "svd.V_small", perm, n, func(p, c int) int { return 3*p + c })
		a.u = separableSVD(t, f, "svd.U_small", perm, n, func(p, c int) int { return c*n*n + p })
		return a
	}
	a.v = sparse(a.in, v)
	return a
}

// separableSVD maps coefficients to M C M', C being [frequency][frequency] of a channel; place is where the pixel p of
// channel c lies.
func separableSVD(t *testing.T, f *weights.File, name string, perm []int64, n int,
	place func(p, c int) int) orthogonal {
	m, _ := golden.F32(t, f, name)
	at := func(i, j int) float64 { return float64(m[i*n+j]) }
	both := func(in []float64, at func(i, j int) float64) []float64 { // M in M'
		half, out := make([]float64, n*n), make([]float64, n*n)
		for i := range n {
			for j := range n {
				for k := range n {
					half[i*n+j] += at(i, k) * in[k*n+j]
				}
			}
		}
		for i := range n {
			for j := range n {
				for k := range n {
					out[i*n+j] += half[i*n+k] * at(j, k)
				}
			}
		}
		return out
	}
	return orthogonal{operator.Shape{H: n, W: n, C: 3},
		func(dst, x []float32) {
			for c := range 3 {
				in := make([]float64, n*n)
				for q, p := range perm {
					in[p] = float64(x[3*q+c])
				}
				for p, v := range both(in, at) {
					dst[place(p, c)] = float32(v)
				}
			}
		},
		func(dst, x []float32) {
			for c := range 3 {
				in := make([]float64, n*n)
				for p := range in {
					in[p] = float64(x[place(p, c)])
				}
				out := both(in, func(i, j int) float64 { return at(j, i) })
				for q, p := range perm {
					dst[3*q+c] = float32(out[p])
				}
			}
		}}
}

// TestGoldenDDRM holds every step of the published DDRM, fed with the recorded state before it, against the recorded
// one after it, with the recorded singular vectors (their signs are arbitrary).
func TestGoldenDDRM(t *testing.T) {
	for _, dir := range golden.Folders(t, "baselines") {
		var b baselines
		golden.JSON(t, filepath.Join(dir, "baselines.json"), &b)
		m := b.prior(t, dir)
		for _, c := range b.DDRM {
			t.Run(c.File, func(t *testing.T) {
				f := golden.Load(t, filepath.Join(dir, c.File))
				y, _ := golden.F32(t, f, "y0")
				x, n, _, _ := hwc(t, f, "x0")
				a := publishedSVD(t, c.Deg, f, n)
				clean, _ := golden.F32(t, f, "y_clean")
				require.Equal(t, len(clean), len(y))
				o := Options{noise: func(stream string, step, _ int) []float32 {
					if stream == "start" {
						start, _ := golden.F32(t, f, "x_init")
						return start
					}
					next := 0.0
					if step < len(c.Seq)-1 {
						next = level(float64(m.Noise.AlphasCumprod[c.Seq[len(c.Seq)-2-step]]))
					}
					return ddrmNoise(t, f, a, 3*step, next, c.Sigma)
				}}
				o.Conditions.Scale = 1
				method := &DDRM{Steps: len(c.Seq), Eta: c.EtaA, EtaB: c.EtaB, Published: true}
				s, err := method.Bind(newRun(m, Problem{A: a, Y: y, Sigma: c.Sigma}, o))
				require.NoError(t, err)
				require.Equal(t, c.Seq, s.(*ddrm).times)
				st := &State{Steps: s.Len(), Vars: map[string]*tensor.Tensor{}}
				require.NoError(t, s.Start(st))
				golden.Check(t, "x0", st.Vars["x"].Data, x, 2e-5)
				for step := range c.Seq {
					st := &State{Step: step, Steps: s.Len(), Vars: map[string]*tensor.Tensor{"x": tensor.From(x, 1, n, n, 3)}}
					_, err := s.Step(t.Context(), st)
					require.NoError(t, err)
					x, _, _, _ = hwc(t, f, fmt.Sprintf("x%d", step+1))
					golden.Check(t, fmt.Sprintf("x%d", step+1), st.Vars["x"].Data, x, 2e-5)
				}
			})
		}
	}
}

// ddrmNoise puts the three recorded draws of a step, from number first on, in their places.
func ddrmNoise(t *testing.T, f *weights.File, a *svdOperator, first int, next, sigma float64) []float32 {
	read := func(i int) []float32 {
		v, _ := golden.F32(t, f, fmt.Sprintf("rng.noise%d", first+i))
		return v
	}
	singulars, _ := golden.F32(t, f, "singulars")
	noise, after, before := append([]float32(nil), read(0)...), read(1), read(2)
	seen := 0
	for q, s := range singulars {
		switch v := float64(s) * next; {
		case v > sigma:
			noise[q] = before[q]
		case v < sigma:
			noise[q] = after[seen]
			seen++
		}
	}
	require.Equal(t, len(after), seen)
	require.False(t, math.IsNaN(next))
	return noise
}
