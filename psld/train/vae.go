package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"psld/autograd"
	"psld/nn"
	"psld/psld/metric"
	"psld/psld/picture"
	"psld/tensor"
	"psld/vae"
)

// VAEOptions are the settings of a VAE training.
type VAEOptions struct {
	Options
	Config vae.Config
	KL     float64 // weight of the mean KL divergence to N(0,1), e.g. 1e-4
	Edge   float64 // weight of the L1 distance of image gradients
}

type vaeTask struct {
	VAEOptions
	model *vae.Model
	val   *Photos
	diff  differenceMaps

	measured bool // the scaling factor is
}

// VAE trains an autoencoder: L1 + MSE of the picture, Edge times the L1 distance of
// its finite differences (a perceptual term that needs no other network), and KL.
// An autoencoder of patches (vae.Config.PatchSize) starts from their principal components.
// It writes Out/model.safetensors.
func VAE(ctx context.Context, o VAEOptions) (err error) {
	photos, val, err := o.photos()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, photos.Close()) }()
	m := vae.New(o.Config)
	m.Params.Init(o.Seed)
	zeroLayers(m.Params, "conv2.")
	if o.Config.PatchSize > 1 {
		if err := startFromPCA(m, photos, o.Seed); err != nil {
			return err
		}
	}
	return run(ctx, o.Options, photos, &vaeTask{VAEOptions: o, model: m, val: val})
}

func (t *vaeTask) params() *nn.Params { return t.model.Params }

func (t *vaeTask) macs() int64 {
	f := t.Size / t.model.Factor()
	return t.model.EncodeMACs(t.Size, t.Size) + t.model.DecodeMACs(f, f)
}

func (t *vaeTask) metadata() map[string]string {
	cfg, _ := json.Marshal(t.model.Config)
	return map[string]string{"kind": "vae", "config": string(cfg)}
}

func (t *vaeTask) facts() map[string]string {
	return map[string]string{"kl": fmt.Sprint(t.KL), "edge": fmt.Sprint(t.Edge)}
}

func (t *vaeTask) loss(g *autograd.Graph, x *tensor.Tensor, r *rand.Rand) (*autograd.Value, []term) {
	m := t.model
	in := g.Const(x)
	moments := m.Encode(g, in)
	mean, logvar := m.Mean(g, moments), m.LogVar(g, moments)
	z := g.Add(mean, g.Mul(g.Exp(g.Scale(logvar, 0.5)), g.Const(normal(r, mean.T.Shape...))))
	diff := g.Sub(m.Decode(g, z), in)
	l1 := g.Mean(g.Abs(diff))
	mse := g.Scale(g.SumSquares(diff), 1/float32(x.Len()))
	edge := g.Mean(g.Abs(differences(g, diff, &t.diff)))
	// KL(N(mean, var) || N(0, 1)) = (mean^2 + var - 1 - logvar)/2, mean over all latents.
	n := float32(mean.T.Len())
	kl := g.Scale(g.Sub(g.Add(g.SumSquares(mean), g.Sum(g.Exp(logvar))), g.Sum(logvar)), 0.5/n)
	loss := g.Add(g.Add(l1, mse), g.Add(g.Scale(edge, float32(t.Edge)), g.Scale(kl, float32(t.KL))))
	return loss, []term{{"loss", loss.Item()}, {"l1", l1.Item()}, {"mse", mse.Item()}, {"edge", edge.Item()},
		{"kl", kl.Item() - 0.5}}
}

// differences are the horizontal and vertical finite differences of x[N,H,W,C]:
// [2,N,H,W,C], zero at the far border.
func differences(g *autograd.Graph, x *autograd.Value, d *differenceMaps) *autograd.Value {
	s := x.T.Shape
	if !slices.Equal(d.shape, s) {
		*d = newDifferenceMaps(s)
	}
	way := func(i int) *autograd.Value {
		y := g.Sparse(x, s, d.forward[i:i+1], d.adjoint[i:i+1])
		return g.Reshape(y, 1, x.T.Len())
	}
	return g.Reshape(g.Concat(way(0), way(1)), append([]int{2}, s...)...)
}

// differenceMaps are the matrices of the differences along x and along y, and their transposes, for one shape.
type differenceMaps struct {
	shape            []int
	forward, adjoint []*tensor.Sparse
}

func newDifferenceMaps(shape []int) differenceMaps {
	n, h, w, c := shape[0], shape[1], shape[2], shape[3]
	d := differenceMaps{shape: slices.Clone(shape)}
	for _, axis := range []struct{ outer, length, inner int }{{n * h, w, c}, {n, h, w * c}} {
		for back := range 2 {
			start, at, by := []int32{0}, []int32(nil), []float32(nil)
			entry := func(i int, v float32) { at, by = append(at, int32(i*axis.inner)), append(by, v) }
			for i := range axis.length {
				switch { // row i is x[i+1] - x[i]; backwards it is y[i-1] - y[i]
				case back == 0 && i+1 < axis.length:
					entry(i+1, 1)
					entry(i, -1)
				case back == 1:
					if i > 0 {
						entry(i-1, 1)
					}
					if i+1 < axis.length {
						entry(i, -1)
					}
				}
				start = append(start, int32(len(at)))
			}
			m := tensor.NewSparse(axis.outer, axis.length*axis.inner, axis.inner, start, at, by)
			if back == 0 {
				d.forward = append(d.forward, m)
			} else {
				d.adjoint = append(d.adjoint, m)
			}
		}
	}
	return d
}

// reconstruct encodes to the mean and decodes, without a gradient: the elements of both.
func (t *vaeTask) reconstruct(x *tensor.Tensor) (y, mean []float32) {
	g := autograd.NoGrad(t.Exact())
	defer g.Release()
	z := t.model.Mean(g, t.model.Encode(g, g.Const(x)))
	return slices.Clone(t.model.Decode(g, z).Host()), slices.Clone(z.Host())
}

// peakRatio is the PSNR in dB of a picture y, which it clips to [-1,1], against x.
func peakRatio(y, x []float32) float64 {
	for i, v := range y {
		y[i] = min(max(v, -1), 1)
	}
	return metric.PSNR(y, x, 2)
}

// validate reports the mean PSNR of the reconstruction of all validation photos,
// and the standard deviation of the latents, whose inverse is the scaling factor.
func (t *vaeTask) validate() ([]term, error) { return t.measure(t.val.Len()) }

// ready has the scaling factor from some photos.
func (t *vaeTask) ready() error {
	if t.measured {
		return nil
	}
	_, err := t.measure(min(t.val.Len(), 8))
	return err
}

// measure validates on the first photos, and takes the scaling factor from them.
func (t *vaeTask) measure(photos int) ([]term, error) {
	const batch = 32
	var psnr, sq, sum, count float64
	for from := 0; from < photos; from += batch {
		n := min(batch, photos-from)
		x := t.val.Centre(from, n, t.Size)
		y, z := t.reconstruct(x)
		per := x.Len() / n
		for i := range n {
			psnr += peakRatio(y[i*per:(i+1)*per], x.Data[i*per:(i+1)*per])
		}
		for _, v := range z {
			sum += float64(v)
			sq += float64(v) * float64(v)
		}
		count += float64(len(z))
	}
	mu := sum / count
	std := math.Sqrt(sq/count - mu*mu)
	if !(std > 0) || math.IsInf(std, 0) {
		return nil, fmt.Errorf("the latents of the validation photos have deviation %v: the training has failed", std)
	}
	t.model.ScalingFactor, t.measured = float32(1/std), true
	return []term{{"val PSNR", psnr / float64(photos)}, {"latent mean", mu}, {"latent std", std}}, nil
}

// sheet shows photos above their reconstructions.
func (t *vaeTask) sheet() *picture.Picture {
	n := min(8, t.val.Len())
	x := t.val.Centre(0, n, t.Size)
	y, _ := t.reconstruct(x)
	both := tensor.New(2*n, t.Size, t.Size, 3)
	copy(both.Data, x.Data)
	copy(both.Data[x.Len():], y)
	return grid(both, n)
}
