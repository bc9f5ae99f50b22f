package train

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"psld/autograd"
	"psld/nn"
	"psld/psld/metric"
	"psld/psld/picture"
	"psld/tensor"
	"psld/tensor/cpu"
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
}

// VAE trains an autoencoder: L1 + MSE of the picture, Edge times the L1 distance of
// its finite differences (a perceptual term that needs no other network), and KL.
// An autoencoder of patches (vae.Config.PatchSize) starts from their principal components.
// It writes Out/model.safetensors.
func VAE(ctx context.Context, o VAEOptions) error {
	photos, val, err := o.photos()
	if err != nil {
		return err
	}
	m := vae.New(o.Config)
	m.Params.Init(o.Seed)
	zeroLayers(m.Params, "conv2.")
	if o.Config.PatchSize > 1 {
		if err := startFromPCA(m, photos, o.Seed); err != nil {
			return err
		}
	}
	return run(ctx, o.Options, photos, &vaeTask{o, m, val})
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
	edge := g.Mean(g.Abs(differences(g, diff)))
	// KL(N(mean, var) || N(0, 1)) = (mean^2 + var - 1 - logvar)/2, mean over all latents.
	n := float32(mean.T.Len())
	kl := g.Scale(g.Sub(g.Add(g.SumSquares(mean), g.Sum(g.Exp(logvar))), g.Sum(logvar)), 0.5/n)
	loss := g.Add(g.Add(l1, mse), g.Add(g.Scale(edge, float32(t.Edge)), g.Scale(kl, float32(t.KL))))
	return loss, []term{{"loss", loss.Item()}, {"l1", l1.Item()}, {"mse", mse.Item()}, {"edge", edge.Item()},
		{"kl", kl.Item() - 0.5}}
}

// differences are the horizontal and vertical finite differences of x[N,H,W,C]:
// [2,N,H,W,C], zero at the far border.
func differences(g *autograd.Graph, x *autograd.Value) *autograd.Value {
	n, h, w, c := x.T.Dim(0), x.T.Dim(1), x.T.Dim(2), x.T.Dim(3)
	forward, adjoint := differenceMaps(n, h, w, c)
	return g.Map(x, []int{2, n, h, w, c}, forward, adjoint)
}

// differenceMaps are the map of differences and its adjoint.
func differenceMaps(n, h, w, c int) (forward, adjoint func(dst, src []float32)) {
	size, row := n*h*w*c, w*c
	// each visits pairs (out index, from, to): out = x[to]-x[from].
	each := func(visit func(out, from, to int)) {
		for i := range n * h {
			for k := range row {
				p := i*row + k
				if k+c < row {
					visit(p, p, p+c)
				}
				if i%h+1 < h {
					visit(size+p, p, p+row)
				}
			}
		}
	}
	forward = func(dst, src []float32) {
		clear(dst)
		each(func(out, from, to int) { dst[out] = src[to] - src[from] })
	}
	adjoint = func(dst, src []float32) {
		clear(dst)
		each(func(out, from, to int) {
			dst[to] += src[out]
			dst[from] -= src[out]
		})
	}
	return forward, adjoint
}

// reconstruct encodes to the mean and decodes, without a gradient.
func (t *vaeTask) reconstruct(x *tensor.Tensor) (y, mean *tensor.Tensor) {
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	z := t.model.Mean(g, t.model.Encode(g, g.Const(x)))
	return g.Detach(t.model.Decode(g, z)), g.Detach(z)
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
func (t *vaeTask) validate() ([]term, error) {
	const batch = 32
	var psnr, sq, sum, count float64
	for from := 0; from < t.val.Len(); from += batch {
		n := min(batch, t.val.Len()-from)
		x := t.val.Centre(from, n, t.Size)
		y, z := t.reconstruct(x)
		per := x.Len() / n
		for i := range n {
			psnr += peakRatio(y.Data[i*per:(i+1)*per], x.Data[i*per:(i+1)*per])
		}
		for _, v := range z.Data {
			sum += float64(v)
			sq += float64(v) * float64(v)
		}
		count += float64(z.Len())
		cpu.F32.Put(y)
		cpu.F32.Put(z)
	}
	mu := sum / count
	std := math.Sqrt(sq/count - mu*mu)
	if !(std > 0) || math.IsInf(std, 0) {
		return nil, fmt.Errorf("the latents of the validation photos have deviation %v: the training has failed", std)
	}
	t.model.ScalingFactor = float32(1 / std)
	return []term{{"val PSNR", psnr / float64(t.val.Len())}, {"latent mean", mu}, {"latent std", std}}, nil
}

// sheet shows photos above their reconstructions.
func (t *vaeTask) sheet() *picture.Picture {
	n := min(8, t.val.Len())
	x := t.val.Centre(0, n, t.Size)
	y, z := t.reconstruct(x)
	defer cpu.F32.Put(y)
	defer cpu.F32.Put(z)
	both := tensor.New(2*n, t.Size, t.Size, 3)
	copy(both.Data, x.Data)
	copy(both.Data[x.Len():], y.Data)
	return grid(both, n)
}
