package metric

import (
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
)

// TestGoldenPairs compares PSNR and SSIM with scikit-image.
func TestGoldenPairs(t *testing.T) {
	for _, dir := range golden.Folders(t, "metrics") {
		var cases struct{ Pairs []map[string]any }
		golden.JSON(t, filepath.Join(dir, "metrics.json"), &cases)
		require.NotEmpty(t, cases.Pairs)
		f := golden.Load(t, filepath.Join(dir, "metrics.safetensors"))
		for _, p := range cases.Pairs {
			t.Run(p["name"].(string), func(t *testing.T) {
				a, err := f.Bytes(p["name"].(string) + ".a")
				require.NoError(t, err)
				b, err := f.Bytes(p["name"].(string) + ".b")
				require.NoError(t, err)
				info, _ := f.Info(p["name"].(string) + ".a")
				h, w, c := info.Shape[0], info.Shape[1], info.Shape[2]
				check := func(name string, got float64) {
					v, ok := p[name]
					if !ok {
						return
					}
					if s, ok := v.(string); ok {
						require.Equal(t, "inf", strings.ToLower(s))
						require.True(t, math.IsInf(got, 1), name)
						return
					}
					require.InDelta(t, v.(float64), got, 1e-9, name)
				}
				ssim := func(got float64, err error) float64 {
					require.NoError(t, err)
					return got
				}
				x, y := unit(a), unit(b)
				check("mse_float64", MSE(x, y))
				check("psnr_data_range1_float64", PSNR(x, y, 1))
				check("psnr_uint8", PSNR(a, b, 255))
				check("ssim_uniform7_float64", ssim(SSIM(x, y, h, w, c, 1, Uniform7)))
				check("ssim_gauss11_float64", ssim(SSIM(x, y, h, w, c, 1, Gauss11)))
				check("ssim_uniform7_uint8", ssim(SSIM(a, b, h, w, c, 255, Uniform7)))
				// Of the pictures turned to grey by the mean over the channels.
				check("ssim_uniform7_channelmean_float64", ssim(SSIM(grey(x, c), grey(y, c), h, w, 1, 1, Uniform7)))
				if full := p["name"].(string) + ".ssim_uniform7_full"; f.Has(full) { // scikit-image's map: its inside is meaned
					m, err := f.Float64(full)
					require.NoError(t, err)
					var sum float64
					for i, v := range m {
						if y, x := i/c/w, i/c%w; y >= 3 && y < h-3 && x >= 3 && x < w-3 {
							sum += v
						}
					}
					require.InDelta(t, sum/float64((h-6)*(w-6)*c), ssim(SSIM(x, y, h, w, c, 1, Uniform7)), 1e-9)
				}
				// From float32 in [-1,1] the numbers are the same up to its rounding.
				xs, ys := Unit(signed(x)), Unit(signed(y))
				require.InDelta(t, p["ssim_uniform7_float64"], ssim(SSIM(xs, ys, h, w, c, 1, Uniform7)), 1e-6)
			})
		}
	}
}

func unit(b []byte) []float64 {
	r := make([]float64, len(b))
	for i, v := range b {
		r[i] = float64(v) / 255
	}
	return r
}

func grey(x []float64, c int) []float64 {
	r := make([]float64, len(x)/c)
	for i, v := range x {
		r[i/c] += v / float64(c)
	}
	return r
}

func signed(x []float64) []float32 {
	r := make([]float32, len(x))
	for i, v := range x {
		r[i] = float32(2*v - 1)
	}
	return r
}

func TestUnit(t *testing.T) {
	require.Equal(t, []float64{0, 0, 0.5, 1, 1}, Unit([]float32{-3, -1, 0, 1, 2}))
}

func TestErrors(t *testing.T) {
	x := make([]float32, 6*20*3)
	_, err := SSIM(x, x, 6, 20, 3, 2, Uniform7)
	require.ErrorContains(t, err, "at least 7x7 pixels, the picture is 20x6")
	_, err = SSIM(x, x[1:], 6, 20, 3, 2, Uniform7)
	require.ErrorContains(t, err, "360 and 359 values, want 6x20x3")
	require.True(t, math.IsNaN(PSNR(x, x[1:], 2)))
	require.True(t, math.IsNaN(MSE[float64](nil, nil)))
	b, err := json.Marshal(PSNR([]byte{0, 10}, []byte{10, 0}, 255))
	require.NoError(t, err)
	require.Contains(t, string(b), "28.13") // 20 log10(25.5)
}
