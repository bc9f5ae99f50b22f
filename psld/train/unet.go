package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"psld/autograd"
	"psld/nn"
	"psld/psld/picture"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// UNetOptions are the settings of a UNet training.
type UNetOptions struct {
	Options
	Config unet.Config
	VAE    *vae.Model // frozen; its ScalingFactor brings latents to unit variance
	// Low is the share of pictures whose noise has a deviation below 2 (see PixelOptions).
	Low float64
}

type unetTask struct {
	UNetOptions
	model   *unet.Model
	context *tensor.Tensor // [1,1,D] of zeros: the embedded model knows no text
	noise   schedule.Noise
	val     *Photos
}

// UNet trains the noise predictor on the latents of the photos: the mean squared
// error of eps (Ho et al. 2020, eq. 14) at deviations of the noise that are drawn by their logarithm, with an empty
// context. It writes Out/model.safetensors.
func UNet(ctx context.Context, o UNetOptions) (err error) {
	photos, val, err := o.photos()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, photos.Close()) }()
	m := unet.New(o.Config)
	m.Params.Init(o.Seed)
	zeroResiduals(m.Params)
	t := &unetTask{o, m, tensor.New(1, 1, max(1, o.Config.CrossAttentionDim)), schedule.StableDiffusion(), val}
	return run(ctx, o.Options, photos, t)
}

// zeroResiduals sets the last layer of every residual branch and of the network to
// zero, as the latent diffusion code does: training starts from the identity.
func zeroResiduals(p *nn.Params) {
	zeroLayers(p, "conv2.", "proj_out.", "conv_out.", "out_layers.3.", "out.2.")
}

// zeroLayers sets the parameters of the layers of these names to zero.
func zeroLayers(p *nn.Params, names ...string) {
	for _, q := range p.All() {
		for _, name := range names {
			if strings.Contains(q.Name, name) {
				clear(q.Value.T.Data)
				q.Value.Changed()
			}
		}
	}
}

func (t *unetTask) params() *nn.Params { return t.model.Params }

func (t *unetTask) macs() int64 {
	f := t.Size / t.VAE.Factor()
	// Encoding is a forward pass only: a third of a training pass.
	return t.model.MACs(f, f, 1) + t.VAE.EncodeMACs(t.Size, t.Size)/3
}

func (t *unetTask) metadata() map[string]string {
	cfg, _ := json.Marshal(t.model.Config)
	return map[string]string{"kind": "unet", "config": string(cfg), "vae_scaling_factor": strconv.FormatFloat(
		float64(t.VAE.ScalingFactor), 'g', -1, 32), "size": strconv.Itoa(t.Size)}
}

func (t *unetTask) facts() map[string]string {
	var all []weights.Entry
	for _, p := range t.VAE.Params.All() {
		all = append(all, weights.Entry{Name: p.Name, Shape: p.Value.T.Shape, Data: t.Exact().Host(p.Value.T)})
	}
	return map[string]string{"low": fmt.Sprint(t.Low), "vae": digest(nil, all)[:16]}
}

// latents encodes pictures without a gradient, in the graph g.
func (t *unetTask) latents(g *autograd.Graph, x, eps *tensor.Tensor) *autograd.Value {
	n := autograd.NoGrad(t.Exact())
	defer n.Release()
	return g.Own(n.Detach(t.VAE.EncodeScaled(n, n.Const(x), eps)))
}

func (t *unetTask) loss(g *autograd.Graph, x *tensor.Tensor, r *rand.Rand) (*autograd.Value, []term) {
	f := t.VAE.Factor()
	n, h, w := x.Dim(0), x.Dim(1)/f, x.Dim(2)/f
	z := t.latents(g, x, normal(r, n, h, w, t.VAE.LatentChannels))
	eps := g.Const(normal(r, z.T.Shape...))
	zt, times := noisy(g, t.noise, z, eps, noiseLevels(r, n, t.Low, t.noise.Sigma(1), t.noise.Sigma(float64(len(
		t.noise.AlphasCumprod)-1))))
	e := t.model.Forward(g, zt, times, g.Const(t.context))
	loss := g.Scale(g.SumSquares(g.Sub(e, eps)), 1/float32(eps.T.Len()))
	return loss, []term{{"loss", loss.Item()}}
}

// validate is the loss on the validation photos with fixed times and noise.
func (t *unetTask) validate() ([]term, error) {
	const batch = 32
	r := rand.New(rand.NewPCG(1, 2))
	var sum, count float64
	for from := 0; from < min(t.val.Len(), 6*batch); from += batch {
		n := min(batch, t.val.Len()-from)
		g := autograd.NoGrad(t.Exact())
		z := t.latents(g, t.val.Centre(from, n, t.Size), nil)
		eps := normal(r, z.T.Shape...)
		sigmas := make([]float64, n)
		for i := range sigmas { // all times alike
			sigmas[i] = t.noise.Sigma(float64((2*i + 1) * len(t.noise.AlphasCumprod) / (2 * n)))
		}
		zt, times := noisy(g, t.noise, z, g.Const(eps), sigmas)
		e := t.model.Forward(g, zt, times, g.Const(t.context))
		for k, v := range e.Host() {
			d := float64(v - eps.Data[k])
			sum += d * d
		}
		count += float64(eps.Len())
		g.Release()
	}
	return []term{{"val loss", sum / count}}, nil
}

func (t *unetTask) ready() error { return nil }

// sheet shows pictures made from noise alone by 25 DDIM steps.
func (t *unetTask) sheet() *picture.Picture {
	f := t.VAE.Factor()
	s := t.Size / f
	const n, steps = 8, 25
	z := normal(rand.New(rand.NewPCG(7, 7)), n, s, s, t.VAE.LatentChannels)
	times := make([]float32, n)
	for i := steps; i > 0; i-- {
		at, next := i*len(t.noise.AlphasCumprod)/steps-1, (i-1)*len(t.noise.AlphasCumprod)/steps-1
		a, b := float64(t.noise.AlphasCumprod[at]), 1.0
		if next >= 0 {
			b = float64(t.noise.AlphasCumprod[next])
		}
		for k := range times {
			times[k] = float32(at)
		}
		g := autograd.NoGrad(t.Exact())
		e := t.model.Forward(g, g.Const(z), times, g.Const(t.context))
		for k, v := range e.Host() {
			z0 := (float64(z.Data[k]) - math.Sqrt(1-a)*float64(v)) / math.Sqrt(a)
			z.Data[k] = float32(math.Sqrt(b)*z0 + math.Sqrt(1-b)*float64(v))
		}
		g.Release()
	}
	g := autograd.NoGrad(t.Exact())
	defer g.Release()
	x := t.VAE.DecodeScaled(g, g.Const(z))
	return grid(tensor.From(slices.Clone(x.Host()), x.T.Shape...), n)
}
