package metric

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// shades is a picture pair whose PSNR is known: the difference is d on [0,1] everywhere.
func shades(d float64) (restored, truth *picture.Picture) {
	truth, restored = picture.New(16, 12), picture.New(16, 12)
	for i := range truth.Pix {
		truth.Pix[i] = float32(i%5) / 10
		restored.Pix[i] = truth.Pix[i] + float32(2*d)
	}
	return restored, truth
}

// TestMergeIsAdd: shards, sent as JSON, give the bits of a single run.
func TestMergeIsAdd(t *testing.T) {
	for _, m := range Default() {
		whole, parts := m.New(), m.New()
		for _, shard := range [][]float64{{0.01, 0.1}, {}, {0.03, 0.2, 0}} {
			a := m.New()
			for _, d := range shard {
				x, y := shades(d)
				require.NoError(t, whole.Add(x, y))
				require.NoError(t, a.Add(x, y))
			}
			b, err := json.Marshal(a)
			require.NoError(t, err)
			read := m.New()
			require.NoError(t, json.Unmarshal(b, read))
			require.NoError(t, parts.Merge(read))
		}
		require.Equal(t, whole.Result(), parts.Result())
		require.Equal(t, 5, parts.Result().N)
	}
	a, err := json.Marshal(psnr.New())
	require.NoError(t, err)
	require.Error(t, json.Unmarshal(a, ssim.New()))
	require.ErrorContains(t, psnr.New().Merge(ssim.New()), "PSNR")
	require.Error(t, psnr.New().Merge(NotAvailable(psnr.info).New()))
}

// TestResult against numbers by hand: PSNR -20 log10 d; mean, sample deviation and Student's interval of 3 values.
func TestResult(t *testing.T) {
	a := psnr.New()
	require.Equal(t, "n/a", a.Result().Text(2))
	for _, d := range []float64{0.1, 0.01, 0.001} { // 20, 40, 60 dB
		x, y := shades(d)
		require.NoError(t, a.Add(x, y))
	}
	r := a.Result()
	require.Equal(t, 3, r.N)
	require.InDelta(t, 40, r.Mean, 1e-3)
	require.InDelta(t, 20, r.Deviation, 1e-3)
	require.InDelta(t, 4.302653*20/math.Sqrt(3), r.Interval, 1e-3) // t of 2 degrees of freedom
	require.Equal(t, "40.00", r.Text(2))
	one := Summary([]float64{3})
	require.Equal(t, 3.0, one.Mean)
	require.True(t, math.IsNaN(one.Interval))
	x, y := shades(0)
	v, err := Score(psnr, x, y)
	require.NoError(t, err)
	require.Equal(t, float64(MaxPSNR), v)
}

func TestOpen(t *testing.T) {
	t.Setenv("TORCH_HOME", t.TempDir())
	for _, e := range List {
		m, err := Open(e.Name, "")
		if e.Needs == "" {
			require.NoError(t, err)
			require.Equal(t, e.Info, m.Info())
			continue
		}
		var missing *Missing
		require.True(t, errors.As(err, &missing))
		require.ErrorContains(t, err, "n/a, it needs "+e.Needs)
		a := NotAvailable(missing.Info).New()
		x, y := shades(0.1)
		require.NoError(t, a.Add(x, y))
		require.Equal(t, "n/a", a.Result().Text(4))
	}
	_, err := Open("beauty", "")
	require.ErrorContains(t, err, "want one of psnr, ssim, lpips-alex")
	_, err = Open("lpips-alex", "/no/such/file")
	require.ErrorContains(t, err, "/no/such/file")
}

func TestAddErrors(t *testing.T) {
	require.ErrorContains(t, psnr.New().Add(picture.New(8, 8), picture.New(9, 8)), "8x8 and 9x8 pixels")
	x, y := shades(0.1)
	x.Pix[5] = float32(math.NaN())
	require.ErrorContains(t, psnr.New().Add(x, y), "finite")
	require.ErrorContains(t, ssim.New().Add(picture.New(5, 5), picture.New(5, 5)), "at least 7x7")
}
