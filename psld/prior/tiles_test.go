package prior

import (
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/vae"
)

// photo is a real photograph [1,size,size,3].
func photo(t *testing.T, size int) *tensor.Tensor {
	p, err := picture.Load("../../cmd/psld/flower.jpg")
	require.NoError(t, err)
	p, err = picture.Resize(p, size, size, operator.CubicSmall)
	require.NoError(t, err)
	return tensor.From(p.Pix, 1, size, size, 3)
}

// distance gives the root mean square and the largest difference.
func distance(a, b *tensor.Tensor) (rms, most float64) {
	for i, v := range a.Data {
		d := math.Abs(float64(v - b.Data[i]))
		rms += d * d / float64(a.Len())
		most = max(most, d)
	}
	return math.Sqrt(rms), most
}

// bend is the mean second difference of a-b across columns [from,to), 0 for b nil.
func bend(a, b *tensor.Tensor, from, to int) float64 {
	w, c := a.Dim(2), a.Dim(3)
	var sum, n float64
	at := func(i int) float64 {
		if b == nil {
			return float64(a.Data[i])
		}
		return float64(a.Data[i] - b.Data[i])
	}
	for r := range a.Dim(1) {
		for i := (r*w + from) * c; i < (r*w+to)*c; i++ {
			sum += math.Abs(at(i-c) - 2*at(i) + at(i+c))
			n++
		}
	}
	return sum / n
}

// TestTiledIsWhole holds the tiled autoencoder against the whole one, on a photograph and with a trained model that
// has norms (an earlier embedded one): the stated error, no seam, and the statistics of the norms as the reason.
func TestTiledIsWhole(t *testing.T) {
	file, err := os.ReadFile("testdata/vae.safetensors")
	require.NoError(t, err)
	v, err := LoadVAE(file, cpu.F32)
	require.NoError(t, err)
	m := &LatentDiffusion{VAE: v}
	const size, tile, share = 160, 98, 32 // two tiles a side
	x := photo(t, size)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z := m.VAE.EncodeScaled(g, g.Const(x), nil).T
	y := m.VAE.DecodeScaled(g, g.Const(z)).T
	live := cpu.Memory().Live()

	tz, err := m.EncodeTiled(x, nil, tile, share)
	require.NoError(t, err)
	require.Equal(t, z.Shape, tz.Shape)
	size2, _ := distance(z, tensor.New(z.Shape...))
	rms, most := distance(tz, z)
	t.Logf("encode: RMS %.2g of the latent's %.3g, largest %.2g", rms, size2, most)
	require.Less(t, rms, 5e-4*size2)
	require.Less(t, most, 5e-3)

	ty, err := m.DecodeTiled(z, tile, share)
	require.NoError(t, err)
	require.Equal(t, y.Shape, ty.Shape)
	rms, most = distance(ty, y)
	t.Logf("decode: RMS %.2g, largest %.2g", rms, most)
	require.Less(t, rms, 5e-4)
	require.Less(t, most, 2e-3)
	// Across the border of the tiles the error bends no more than 1% of what the picture does.
	seam := bend(ty, y, size/2-4, size/2+4) / bend(y, nil, size/2-4, size/2+4)
	t.Logf("bend at the seam: %.2g of the picture's", seam)
	require.Less(t, seam, 0.01)
	require.Equal(t, live, cpu.Memory().Live(), "memory left behind")

	// Windows with norms of their own are far off.
	f := m.VAE.Factor()
	rms, _ = distance(windowed(g, g.Const(z), tile/f, share/f, 1, f, 1, m.VAE.DecodeScaled).T, y)
	t.Logf("decode, norms of each window: RMS %.2g", rms)
	require.Greater(t, rms, 0.01)
}

// TestTiledDeep is the same for four resolutions and attention, with random weights: the widest
// neighbourhood that a model of Stable Diffusion's architecture can have.
func TestTiledDeep(t *testing.T) {
	cfg := vae.SD15()
	cfg.BlockOutChannels, cfg.NormNumGroups = []int{8, 8, 16, 16}, 4
	m := &LatentDiffusion{VAE: vae.New(cfg)}
	m.VAE.Params.Init(3)
	for _, p := range m.VAE.Params.All() { // more contrast than start values have
		if len(p.Value.T.Shape) == 4 {
			for i := range p.Value.T.Data {
				p.Value.T.Data[i] *= 1.7
			}
		}
		p.Value.Changed()
	}
	const size, tile, share = 192, 136, 64
	x, eps := photo(t, size), normal(3, 1, size/8, size/8, 4)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z := m.VAE.EncodeScaled(g, g.Const(x), eps).T
	y := m.VAE.DecodeScaled(g, g.Const(z)).T
	tz, err := m.EncodeTiled(x, eps, tile, share)
	require.NoError(t, err)
	sizeZ, _ := distance(z, tensor.New(z.Shape...))
	rms, most := distance(tz, z)
	t.Logf("encode: RMS %.2g of %.2g, largest %.2g", rms, sizeZ, most)
	require.Less(t, rms, 1e-3*sizeZ)
	ty, err := m.DecodeTiled(z, tile, share)
	require.NoError(t, err)
	sizeY, _ := distance(y, tensor.New(y.Shape...))
	rms, most = distance(ty, y)
	t.Logf("decode: RMS %.2g of %.2g, largest %.2g", rms, sizeY, most)
	require.Less(t, rms, 1e-3*sizeY)
}

// TestTilingOfIdentity: tiles of x put together are x, and its own parts cover it once.
func TestTilingOfIdentity(t *testing.T) {
	for _, c := range []struct{ h, w, tile, share, f int }{{96, 160, 64, 16, 2}, {72, 8, 32, 16, 4},
		{200, 104, 96, 40, 8}, {65, 33, 16, 3, 1}} {
		cut, err := newTiling(c.h, c.w, c.tile, c.share, c.f)
		require.NoError(t, err)
		cut.step = c.f
		x := normal(5, 1, c.h, c.w, 2)
		y := cut.run(cpu.F32, x, func(g *autograd.Graph, v *autograd.Value) *autograd.Value { return g.Scale(v, 1) })
		_, most := distance(y, x)
		require.Less(t, most, 1e-5)
		for _, n := range []int{c.h, c.w} {
			next := 0
			for _, s := range cut.spans(n) {
				require.Equal(t, next, s.own0)
				require.Zero(t, s.own0%c.f)
				require.LessOrEqual(t, s.from, s.own0)
				require.LessOrEqual(t, s.own1, s.to)
				next = s.own1
				// No weight near an edge that cuts the picture.
				w := cut.ramp(s)
				for i := range min(c.share/4, len(w)) {
					if !s.first {
						require.Zero(t, w[i])
					}
					if !s.last {
						require.Zero(t, w[len(w)-1-i])
					}
				}
			}
			require.Equal(t, n, next)
		}
	}
}

func TestTiledErrors(t *testing.T) {
	m := RandomTiny(1)
	for _, c := range [][2]int{{4, 2}, {64, 0}, {64, 33}, {-1, -1}} {
		_, err := m.DecodeTiled(normal(1, 1, 16, 16, 4), c[0], c[1])
		require.ErrorContains(t, err, "tiles of")
	}
}

// TestWindowedWithoutGradient: the sum in place is the recorded one.
func TestWindowedWithoutGradient(t *testing.T) {
	x := normal(3, 1, 40, 17, 2)
	double := func(g *autograd.Graph, v *autograd.Value) *autograd.Value { return g.Scale(v, 2) }
	recorded, plain := autograd.NewGraph(cpu.F32), autograd.NoGrad(cpu.F32)
	defer recorded.Release()
	defer plain.Release()
	want := windowed(recorded, recorded.Input(x), 16, 4, 1, 1, 1, double).T
	require.Equal(t, want.Data, windowed(plain, plain.Const(x), 16, 4, 1, 1, 1, double).T.Data)
}
