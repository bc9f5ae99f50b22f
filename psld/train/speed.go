package train

import (
	"context"
	"math/rand/v2"
	"time"

	"psld/psld/prior"
	"psld/unet"
	"psld/vae"
)

// Speed is how fast a training is.
type Speed struct {
	Pictures float64 // a second
	GFLOPS   float64 // of the network's multiply-adds, three times those of the forward pass, two operations each
	Input    float64 // share of the time that making the pictures takes
	Loss     float64 // mean
}

// speed is that since the last log line.
func (r *trainer) speed() Speed {
	took := time.Since(r.since.started).Seconds()
	pictures := float64(r.since.steps*r.Batch) / took
	s := Speed{Pictures: pictures, GFLOPS: pictures * 6 * float64(r.macs()) / 1e9, Input: r.since.input.Seconds() / took}
	if r.since.steps > 0 {
		s.Loss = r.since.terms[0].value / float64(r.since.steps)
	}
	return s
}

// Bench times steps of a training on random pictures, behind two that are not counted: network is "pixel" or "vae",
// in the sizes that the embedded ones have. Of o, Size, Batch, Micro, Seed and Device count.
func Bench(ctx context.Context, network string, o Options, steps int) (Speed, error) {
	o.LR, o.EMA, o.Steps = 1e-4, 0.999, steps+2
	if err := o.check(); err != nil {
		return Speed{}, err
	}
	var t task
	if network == "vae" {
		t = &vaeTask{VAEOptions: VAEOptions{Options: o, KL: 1e-5, Edge: 0.3}, model: vae.New(SmallVAE())}
	} else {
		t = &pixelTask{PixelOptions: PixelOptions{Options: o, Low: 0.75}, model: unet.NewGuided(SmallPixel()),
			noise: prior.PixelSchedule()}
	}
	t.params().Init(o.Seed)
	r := newTrainer(o, noisePhotos(o.Size), t)
	defer r.opt.Release()
	for s := range steps + 2 {
		if ctx.Err() != nil {
			return Speed{}, ctx.Err()
		}
		if s == 2 {
			r.since = meter{started: time.Now()}
		}
		if err := r.step(ctx); err != nil {
			return Speed{}, err
		}
	}
	return r.speed(), nil
}

// Parameters counts the parameters of a network of Bench.
func Parameters(network string) int {
	if network == "vae" {
		return vae.New(SmallVAE()).Params.Count()
	}
	return unet.NewGuided(SmallPixel()).Params.Count()
}

// SmallPixel is the configuration of the embedded pixel prior.
func SmallPixel() unet.GuidedConfig {
	return unet.GuidedConfig{ImageSize: 64, NumChannels: 64, NumResBlocks: 1, ChannelMult: []int{1, 1, 2, 2},
		ScaleShift: true, ResBlockUpDown: true, NormGroups: 8}
}

// SmallVAE is the configuration of the embedded autoencoder.
func SmallVAE() vae.Config {
	return vae.Config{InChannels: 3, LatentChannels: 6, BlockOutChannels: []int{32, 64}, LayersPerBlock: 1,
		NormNumGroups: 8, ScalingFactor: 1}
}

// noisePhotos are a few pictures of noise, larger than the crops as photos are.
func noisePhotos(size int) *Photos {
	r := rand.New(rand.NewPCG(1, 1))
	p := &Photos{}
	for range 8 {
		ph := photo{3 * size, 3 * size, make([]uint8, 27*size*size)}
		for i := range ph.pix {
			ph.pix[i] = uint8(r.Uint32())
		}
		p.pics = append(p.pics, ph)
	}
	return p
}
