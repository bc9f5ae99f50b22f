package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"psld/autograd"
	"psld/nn"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/unet"
)

// PixelOptions are the settings of the training of a pixel prior.
type PixelOptions struct {
	Options
	Config unet.GuidedConfig
	// Low is the share of pictures whose noise has a deviation drawn log-uniformly in 0.01 to 2: that is where
	// restoration works. The others have up to 150, from where pictures are made of nothing.
	Low float64
}

type pixelTask struct {
	PixelOptions
	model *unet.Guided
	noise schedule.Noise
	val   *Photos
}

// Pixel trains the noise predictor of pictures: the mean squared error of eps (Ho et al. 2020, eq. 14), at deviations
// of the noise that are drawn by their logarithm. It writes Out/model.safetensors.
func Pixel(ctx context.Context, o PixelOptions) (err error) {
	photos, val, err := o.photos()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, photos.Close()) }()
	m := unet.NewGuided(o.Config)
	m.Params.Init(o.Seed)
	zeroResiduals(m.Params)
	return run(ctx, o.Options, photos, &pixelTask{o, m, prior.PixelSchedule(), val})
}

func (t *pixelTask) params() *nn.Params { return t.model.Params }

func (t *pixelTask) macs() int64 { return t.model.MACs(t.Size, t.Size) }

func (t *pixelTask) metadata() map[string]string {
	cfg, _ := json.Marshal(t.model.GuidedConfig)
	return map[string]string{"kind": "pixel", "config": string(cfg)}
}

func (t *pixelTask) facts() map[string]string { return map[string]string{"low": fmt.Sprint(t.Low)} }

func (t *pixelTask) loss(g *autograd.Graph, x *tensor.Tensor, r *rand.Rand) (*autograd.Value, []term) {
	sigmas := noiseLevels(r, x.Dim(0), t.Low, 0.01, 150)
	eps := g.Const(normal(r, x.Shape...))
	z, times := noisy(g, t.noise, g.Const(x), eps, sigmas)
	loss := g.Scale(g.SumSquares(g.Sub(t.model.Eps(g, z, times), eps)), 1/float32(x.Len()))
	return loss, []term{{"loss", loss.Item()}}
}

// validate denoises the middle of each photo, not scaled, in one step, and measures PSNR.
func (t *pixelTask) validate() ([]term, error) {
	const batch = 16
	var line []term
	for _, level := range []float64{25, 15, 50, 5} { // of 255
		sigma := level / 127.5
		r := rand.New(rand.NewPCG(1, 2))
		psnr, count := 0.0, 0
		for from := 0; from < min(t.val.Len(), 12*batch); from += batch {
			n := min(batch, t.val.Len()-from)
			x := t.val.Middle(from, n, t.Size)
			eps := normal(r, x.Shape...)
			sigmas := make([]float64, n)
			for i := range sigmas {
				sigmas[i] = sigma
			}
			g := autograd.NoGrad(t.Exact())
			z, times := noisy(g, t.noise, g.Const(x), g.Const(eps), sigmas)
			e := t.model.Eps(g, z, times).Host()
			per := x.Len() / n
			for i := range n {
				estimate := make([]float32, per) // x + sigma (eps - e)
				for j := range estimate {
					k := i*per + j
					estimate[j] = x.Data[k] + float32(sigma)*(eps.Data[k]-e[k])
				}
				psnr += peakRatio(estimate, x.Data[i*per:(i+1)*per])
			}
			count += n
			g.Release()
		}
		line = append(line, term{fmt.Sprintf("val PSNR %g", level), psnr / float64(count)})
	}
	line[0].name = "val PSNR"
	return line, nil
}

func (t *pixelTask) ready() error { return nil }

// sheet samples pictures from noise by 40 DDIM steps, equal in the logarithm of the noise.
func (t *pixelTask) sheet() *picture.Picture {
	const n, steps = 8, 40
	x := normal(rand.New(rand.NewPCG(7, 7)), n, t.Size, t.Size, 3)
	sigma := func(i int) float64 { return 0.01 * math.Pow(150/0.01, float64(i)/steps) }
	times := make([]float32, n)
	for i := steps; i > 0; i-- {
		s, next := sigma(i), sigma(i-1)
		if i == 1 {
			next = 0
		}
		for k := range times {
			times[k] = float32(t.noise.Time(s))
		}
		g := autograd.NoGrad(t.Exact())
		e := t.model.Eps(g, g.Const(x), times)
		for k, v := range e.Host() {
			x0 := min(max(float64(x.Data[k])*math.Sqrt(1+s*s)-s*float64(v), -1), 1)
			again := (float64(x.Data[k])*math.Sqrt(1+s*s) - x0) / s // the noise beside the clamped picture
			x.Data[k] = float32((x0 + next*again) / math.Sqrt(1+next*next))
		}
		g.Release()
	}
	return grid(x, n)
}
