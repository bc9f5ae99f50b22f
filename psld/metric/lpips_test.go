package metric

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/psld/picture"
)

// generated is the source of random trunks by the weight rule of the golden cases.
type generated string

func (prefix generated) Read(name string, shape []int, dst []float32) error {
	fan := 1
	for _, d := range shape[1:] {
		fan *= d
	}
	scale := 0.2
	if len(shape) > 1 {
		scale = math.Sqrt(6 / float64(fan))
	}
	for i, u := range golden.Uniform(string(prefix)+name, len(dst)) {
		dst[i] = float32(float64(scale * u))
	}
	return nil
}

// fromBytes is a picture of 8-bit values [h][w][3].
func fromBytes(b []byte, h, w int) *picture.Picture {
	p := picture.New(w, h)
	for i, v := range b {
		p.Pix[i] = float32(float64(v)/255*2 - 1)
	}
	return p
}

// TestGoldenLPIPS compares every layer of LPIPS v0.1 on random trunks with the reference implementation.
func TestGoldenLPIPS(t *testing.T) {
	for _, dir := range golden.Folders(t, "metrics") {
		var cases struct {
			Pairs []struct {
				Name  string
				Alex  float64   `json:"lpips_alex_float64"`
				AlexL []float64 `json:"lpips_alex_per_layer"`
				VGG   float64   `json:"lpips_vgg_float64"`
				VGGL  []float64 `json:"lpips_vgg_per_layer"`
			}
		}
		golden.JSON(t, filepath.Join(dir, "metrics.json"), &cases)
		f := golden.Load(t, filepath.Join(dir, "metrics.safetensors"))
		alex, err := newLPIPS(generated("alexnet."), alexNet)
		require.NoError(t, err)
		vgg, err := newLPIPS(generated("vgg16."), vgg16)
		require.NoError(t, err)
		for _, p := range cases.Pairs {
			a, err := f.Bytes(p.Name + ".a")
			require.NoError(t, err)
			b, err := f.Bytes(p.Name + ".b")
			require.NoError(t, err)
			info, _ := f.Info(p.Name + ".a")
			h, w := info.Shape[0], info.Shape[1]
			for _, c := range []struct {
				net    *LPIPS
				want   float64
				layers []float64
			}{{alex, p.Alex, p.AlexL}, {vgg, p.VGG, p.VGGL}} {
				x, y := fromBytes(a, h, w), fromBytes(b, h, w)
				got, err := c.net.Distance(x, y)
				require.NoError(t, err)
				require.InDelta(t, c.want, got, 1e-5*c.want)
				layers, err := c.net.Layers(x, y)
				require.NoError(t, err)
				for i, v := range layers {
					require.InDelta(t, c.layers[i], v, 1e-5*c.want)
				}
			}
		}
	}
}

// TestTrainedLPIPS is the example of the LPIPS repository, ex_ref.png against ex_p0.png and ex_p1.png: 0.722 and
// 0.138. $PSLD_LPIPS names a folder with these and trained networks, or they lie beside the repository.
func TestTrainedLPIPS(t *testing.T) {
	dir := os.Getenv("PSLD_LPIPS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "lpips")
		if _, err := os.Stat(dir); err != nil {
			t.Skip("no trained networks: PSLD_LPIPS is not set")
		}
	}
	load := func(name string) *picture.Picture {
		p, err := picture.Load(filepath.Join(dir, name))
		require.NoError(t, err)
		return p
	}
	ref, p0, p1 := load("ex_ref.png"), load("ex_p0.png"), load("ex_p1.png")
	alex, err := Open("lpips-alex", filepath.Join(dir, "alexnet.safetensors"))
	require.NoError(t, err)
	for want, p := range map[float64]*picture.Picture{0.721881: p0, 0.137566: p1, 0: ref} {
		got, err := Score(alex, p, ref)
		require.NoError(t, err)
		require.InDelta(t, want, got, 1e-6)
	}
	squeeze, err := Open("lpips-squeeze", filepath.Join(dir, "squeezenet1_1.safetensors"))
	require.NoError(t, err)
	d0, err := Score(squeeze, p0, ref)
	require.NoError(t, err)
	d1, err := Score(squeeze, p1, ref)
	require.NoError(t, err)
	t.Logf("SqueezeNet: %.6f and %.6f", d0, d1)
	require.Greater(t, d0, d1)
	_, err = Open("lpips-vgg", filepath.Join(dir, "alexnet.safetensors"))
	require.ErrorContains(t, err, "features.")
}

// TestLPIPSFolder: metrics that need different files take them from one folder.
func TestLPIPSFolder(t *testing.T) {
	dir := t.TempDir()
	_, err := Open("lpips-alex", dir)
	require.ErrorContains(t, err, dir+" has 0 files alexnet*.pth or alexnet*.safetensors")
	for _, name := range []string{"alexnet.safetensors", "vgg16-mine.pth", "README.md"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	path, err := inFolder(dir, alexNet.file)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "alexnet.safetensors"), path)
	path, err = inFolder(dir, vgg16.file)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "vgg16-mine.pth"), path)

	require.NoError(t, os.WriteFile(filepath.Join(dir, vgg16.file), nil, 0o644))
	path, err = inFolder(dir, vgg16.file)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, vgg16.file), path, "torchvision's own name wins")
	path, err = inFolder(path, alexNet.file)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, vgg16.file), path, "a file stays as it is")
}

// TestLPIPSSizes: the least side is the first one that leaves a pixel.
func TestLPIPSSizes(t *testing.T) {
	for _, arch := range []architecture{alexNet, squeezeNet, vgg16} {
		l, err := newLPIPS(generated(arch.title), arch)
		require.NoError(t, err)
		n := l.net.least
		require.Less(t, n, 64)
		x := picture.New(n, n+3)
		y := picture.New(n, n+3)
		y.Pix[0] = 1
		d, err := l.Distance(x, y)
		require.NoError(t, err)
		require.Greater(t, d, 0.0, arch.title)
		_, err = l.Distance(picture.New(n+9, n-1), picture.New(n+9, n-1))
		require.ErrorContains(t, err, "pixels a side")
	}
}

// TestMaxPool against windows counted by hand: 5x4 pixels, 3x3, with and without the last, partial window.
func TestMaxPool(t *testing.T) {
	x := make([]float32, 20)
	for i := range x {
		x[i] = float32(i * 7 % 20) // 0 7 14 1 | 8 15 2 9 | 16 3 10 17 | 4 11 18 5 | 12 19 6 13
	}
	y := make([]float32, 2)
	maxPool(y, x, []int{1, 5, 4, 1}, []int{1, 2, 1, 1}, 3)
	require.Equal(t, []float32{16, 19}, y)
	y = make([]float32, 4)
	maxPool(y, x, []int{1, 5, 4, 1}, []int{1, 2, 2, 1}, 3)
	require.Equal(t, []float32{16, 17, 19, 18}, y)
}
