package operator

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
)

// opCase is a row of ops/index.json.
type opCase struct {
	Name       string
	Op         string
	Scale      float64
	Size       json.RawMessage // 24 or [11,19]
	Kernel     int
	KernelSize int `json:"kernel_size"`
	Std        float64
}

// size reads the output size, a number for both sides or two.
func (c opCase) size(t *testing.T) (h, w int) {
	var two []int
	if json.Unmarshal(c.Size, &h) == nil {
		return h, h
	}
	require.NoError(t, json.Unmarshal(c.Size, &two))
	return two[0], two[1]
}

// build makes the operator of a case for pictures of h x w x c; kernel is the [1,1,k,k] weight of one channel of a
// blur.
func (oc opCase) build(t *testing.T, h, w, c int, kernel []float32) Linear {
	var a Linear
	var err error
	switch oc.Op {
	case "dps_resizer":
		a, err = NewSR(h, w, c, int(math.Round(1/oc.Scale)))
	case "nearest_up":
		a, err = NewResize(h, w, c, h*int(oc.Scale), w*int(oc.Scale), Nearest)
	case "avg_pool":
		a, err = NewAveragePool(h, w, c, oc.Kernel)
	case "nearest", "area", "torch_bicubic", "bilinear":
		m := map[string]Method{"nearest": Nearest, "area": Area, "torch_bicubic": Bicubic, "bilinear": Bilinear}[oc.Op]
		oh, ow := oc.size(t)
		a, err = NewResize(h, w, c, oh, ow, m)
	default:
		k := &Kernel{Size: oc.KernelSize, W: make([]float64, oc.KernelSize*oc.KernelSize)}
		for i := range k.W {
			k.W[i] = float64(kernel[i])
		}
		a, err = NewBlur(h, w, c, k)
	}
	require.NoError(t, err)
	return a
}

// TestGoldenOps runs the linear-operator cases: forward, and backward as the adjoint of the cotangent.
func TestGoldenOps(t *testing.T) {
	mine := map[string]bool{"dps_resizer": true, "nearest_up": true, "nearest": true, "area": true,
		"torch_bicubic": true, "bilinear": true, "avg_pool": true, "blur_gaussian": true, "blur_motion": true}
	for _, dir := range golden.Folders(t, "ops") {
		var index []opCase
		golden.JSON(t, filepath.Join(dir, "index.json"), &index)
		for _, oc := range index {
			if !mine[oc.Op] {
				continue
			}
			t.Run(oc.Name, func(t *testing.T) {
				f := golden.Load(t, filepath.Join(dir, oc.Name+".safetensors"))
				x, xs := golden.F32(t, f, "x0")
				y, ys := golden.F32(t, f, "y")
				cot, _ := golden.F32(t, f, "cot")
				grad, _ := golden.F32(t, f, "grad.x0")
				var kernel []float32
				if strings.HasPrefix(oc.Op, "blur") {
					kernel, _ = golden.F32(t, f, "w.seq.1.weight")
				}
				a := oc.build(t, xs[2], xs[3], xs[1], kernel)
				require.Equal(t, Shape{ys[2], ys[3], ys[1]}, a.Out())
				in, out := a.In().Len(), a.Out().Len()
				for n := range xs[0] {
					gotY, gotG := make([]float32, out), make([]float32, in)
					a.Apply(gotY, hwc(x[n*in:(n+1)*in], a.In()))
					a.Adjoint(gotG, hwc(cot[n*out:(n+1)*out], a.Out()))
					golden.Check(t, "y", gotY, hwc(y[n*out:(n+1)*out], a.Out()), 2e-5)
					golden.Check(t, "grad.x0", gotG, hwc(grad[n*in:(n+1)*in], a.In()), 2e-5)
				}
			})
		}
	}
}

// hwc turns a CHW picture into HWC.
func hwc(x []float32, s Shape) []float32 {
	r := make([]float32, len(x))
	for c := range s.C {
		for p := range s.H * s.W {
			r[p*s.C+c] = x[c*s.H*s.W+p]
		}
	}
	return r
}

func TestGoldenGaussKernels(t *testing.T) {
	for _, dir := range golden.Folders(t, "ops") {
		var index []opCase
		golden.JSON(t, filepath.Join(dir, "index.json"), &index)
		for _, oc := range index {
			if oc.Op != "gauss_kernel" {
				continue
			}
			t.Run(oc.Name, func(t *testing.T) {
				raw, err := golden.Load(t, filepath.Join(dir, oc.Name+".safetensors")).Bytes("kernel")
				require.NoError(t, err)
				k, err := Gaussian(oc.KernelSize, oc.Std)
				require.NoError(t, err)
				require.Len(t, raw, 8*len(k.W))
				for i, v := range k.W {
					want := math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
					require.InDelta(t, want, v, 1e-15)
				}
			})
		}
	}
}

// TestGoldenMeasurements makes the noise-free measurement of every PSLD task and checks that the stored noisy one is
// away from it by the noise level that the set states.
func TestGoldenMeasurements(t *testing.T) {
	for _, dir := range golden.Folders(t, "psld") {
		f := golden.Load(t, filepath.Join(dir, "shared.safetensors"))
		var stated struct {
			Sigma float64 `json:"measurement_sigma"`
		}
		golden.JSON(t, filepath.Join(dir, "shared.json"), &stated)
		x0, xs := golden.F32(t, f, "x0")
		s := Shape{xs[2], xs[3], xs[1]}
		x := hwc(x0, s)
		for _, task := range []string{"random_inpaint", "box_inpaint", "sr4", "gauss_deblur", "motion_deblur"} {
			if !f.Has("y." + task) {
				continue
			}
			var a Linear
			var err error
			switch {
			case f.Has("mask." + task):
				m, err := f.Bytes("mask." + task)
				require.NoError(t, err)
				keep := make([]bool, len(m))
				for i, v := range m {
					keep[i] = v != 0
				}
				a, err = NewMask(s.H, s.W, s.C, keep)
				require.NoError(t, err)
			case task == "sr4":
				a, err = NewSR(s.H, s.W, s.C, 4)
			default:
				w, ws := golden.F32(t, f, "kernel."+strings.TrimSuffix(task, "_deblur"))
				k := &Kernel{Size: ws[0], W: make([]float64, len(w))}
				for i, v := range w {
					k.W[i] = float64(v)
				}
				a, err = NewBlur(s.H, s.W, s.C, k)
			}
			require.NoError(t, err)
			y, _ := golden.F32(t, f, "y."+task)
			got := make([]float32, a.Out().Len())
			a.Apply(got, x)
			want := hwc(y, a.Out())
			var e float64
			for i := range got {
				e += math.Pow(float64(got[i]-want[i]), 2)
			}
			require.InDelta(t, stated.Sigma, math.Sqrt(e/float64(len(got))), 0.04*stated.Sigma, task)
			if f.Has("y_noise." + task) {
				n, _ := golden.F32(t, f, "y_noise."+task)
				for i, v := range hwc(n, a.Out()) {
					got[i] += float32(stated.Sigma) * v
				}
				golden.Check(t, task, got, want, 2e-5)
			}
		}
	}
}
