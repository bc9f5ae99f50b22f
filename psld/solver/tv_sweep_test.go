package solver

import (
	"context"
	"fmt"
	"image"
	_ "image/jpeg"
	"math"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld/metric"
	"psld/psld/operator"
)

// TestTVSweep is a tool rather than a test: PSLD_PHOTOS=folder go test -run TVSweep -v ./psld/solver prints, for each
// task at 64x64, the mean PSNR and SSIM over the first 16 photos (evenly picked) for a grid of lambda, sigma 0.05.
func TestTVSweep(t *testing.T) {
	dir := os.Getenv("PSLD_PHOTOS")
	if dir == "" {
		t.Skip("PSLD_PHOTOS names no folder of photos")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	require.NoError(t, err)
	sort.Strings(files)
	require.GreaterOrEqual(t, len(files), 16)
	const n = 64
	var photos [][]float32
	for i := range 16 {
		photos = append(photos, photo(t, files[i*len(files)/16], n))
	}
	for _, name := range []string{"random70", "box40", "sr4", "gauss1.5", "motion", "denoise"} {
		best, bestLine := math.Inf(-1), ""
		for k := -4; k <= 4; k++ {
			lambda := 0.03 * math.Pow(10, float64(k)/4)
			var psnr, ssim, plain float64
			start := time.Now()
			for i, x := range photos {
				a := tvTask(t, name, n, uint64(i))
				y := make([]float32, a.Out().Len())
				a.Apply(y, x)
				operator.AddGaussian(y, 0.05, uint64(1000+i))
				if m, ok := a.(*operator.Mask); ok {
					m.Apply(y, append([]float32(nil), y...))
				}
				got, err := solveTV(context.Background(), a, y, TV{Lambda: lambda, Iterations: 150}, nil)
				require.NoError(t, err)
				p, q := metric.Unit(x), metric.Unit(got)
				s, err := metric.SSIM(p, q, n, n, 3, 1, metric.Uniform7)
				require.NoError(t, err)
				psnr, ssim = psnr+metric.PSNR(p, q, 1)/16, ssim+s/16
				if a.In() == a.Out() {
					plain += metric.PSNR(p, metric.Unit(y), 1) / 16
				}
			}
			line := fmt.Sprintf("%-9s lambda %.4f  PSNR %.2f  SSIM %.4f  (y itself %.2f)  %.0f ms a picture",
				name, lambda, psnr, ssim, plain, time.Since(start).Seconds()*1000/16)
			t.Log(line)
			if psnr > best {
				best, bestLine = psnr, line
			}
		}
		t.Log("BEST " + bestLine)
	}
}

// tvTask makes an operator for n x n pictures.
func tvTask(t *testing.T, name string, n int, seed uint64) operator.Linear {
	var a operator.Linear
	var err error
	var keep []bool
	var k *operator.Kernel
	switch name {
	case "random70":
		keep, err = operator.RandomMask(n, n, 0.7, seed)
	case "box40":
		keep, err = operator.BoxMask(n, n, 0.4, false, seed)
	case "sr4":
		a, err = operator.NewSR(n, n, 3, 4)
	case "gauss1.5":
		k, err = operator.Gaussian(13, 1.5)
	case "motion":
		k, err = operator.MotionKernel(15, 0.5, seed)
	default:
		a = operator.Identity(operator.Shape{H: n, W: n, C: 3})
	}
	require.NoError(t, err)
	if keep != nil {
		a, err = operator.NewMask(n, n, 3, keep)
	}
	if k != nil {
		a, err = operator.NewBlur(n, n, 3, k)
	}
	require.NoError(t, err)
	return a
}

// photo reads a picture, cuts the centre 128x128 and shrinks it to n x n by area.
func photo(t *testing.T, path string, n int) []float32 {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	img, _, err := image.Decode(f)
	require.NoError(t, err)
	at := img.Bounds().Min.Add(image.Pt((img.Bounds().Dx()-128)/2, (img.Bounds().Dy()-128)/2))
	x := make([]float32, 128*128*3)
	for i := range 128 * 128 {
		r, g, b, _ := img.At(at.X+i%128, at.Y+i/128).RGBA()
		for c, v := range []uint32{r, g, b} {
			x[i*3+c] = float32(v)/32767.5 - 1
		}
	}
	a, err := operator.NewResize(128, 128, 3, n, n, operator.Area)
	require.NoError(t, err)
	out := make([]float32, a.Out().Len())
	a.Apply(out, x)
	return out
}
