package prior

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psld/autograd"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/weights"
)

// Pixel is a diffusion model whose state is the picture itself: the UNet of guided diffusion. Without attention
// it is local, so that any size is one piece of work, and it is a denoiser for plug-and-play methods at any level of
// noise that its schedule has. Its methods are safe for concurrent use.
type Pixel struct {
	Name string
	UNet *unet.Guided
	// Noise is the schedule that the UNet was trained with, betas that rise linearly from 1e-4 to 0.02.
	Noise schedule.Noise
	// TrainSize is the side in pixels of the pictures that the model was trained on.
	TrainSize int
	// Window: pictures with a longer side are denoised in overlapping windows of that side; 0 for never.
	Window int

	device tensor.Device
}

var (
	_ Prior     = (*Pixel)(nil)
	_ Variances = (*Pixel)(nil)
)

// pixelWindow bounds the memory of a call: its activations take some 1.5 kB a pixel.
const pixelWindow = 1024

// PixelSchedule is the noise schedule of pixel priors: that of Ho et al. 2020 and of guided diffusion.
func PixelSchedule() schedule.Noise { return schedule.Linear(1e-4, 0.02, schedule.TrainSteps) }

// OpenPixel loads a pixel prior: the embedded one for "", a file of `psld train pixel`, or a checkpoint of guided
// diffusion (.pt, .safetensors) whose tensors are those of [unet.FFHQ] or [unet.ImageNet256], or of the configuration
// in a file of the same name that ends in .json.
func OpenPixel(path string, dev tensor.Device) (*Pixel, error) {
	if path == "" {
		if shared := defaultPixels[dev]; shared != nil {
			return shared()
		}
		return embeddedPixel(dev)
	}
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := pixelOf(f, strings.TrimSuffix(path, filepath.Ext(path))+".json", dev)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.Name = filepath.Base(path)
	return m, nil
}

// IsPixel tells whether a file has the tensors of a pixel prior.
func IsPixel(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := weights.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Has("input_blocks.0.0.weight") && f.Has("time_embed.0.weight")
}

func pixelOf(f *weights.File, configFile string, dev tensor.Device) (*Pixel, error) {
	set := weights.NewSet(f)
	cfg, err := guidedConfig(f, set, configFile)
	if err != nil {
		return nil, err
	}
	m := &Pixel{UNet: unet.NewGuided(cfg), Noise: PixelSchedule(), TrainSize: cfg.ImageSize,
		Window: pixelWindow, device: dev}
	if err := weights.Check(set, m.UNet.Params.Shapes()); err != nil {
		return nil, err
	}
	return m, m.UNet.Params.LoadFrozen(set, dev)
}

// guidedConfig finds the configuration of a file.
func guidedConfig(f *weights.File, set *weights.Set, configFile string) (unet.GuidedConfig, error) {
	if text := f.Metadata()["config"]; text != "" {
		return unet.ParseGuidedConfig([]byte(text))
	}
	var text []byte
	err := os.ErrNotExist
	if configFile != "" {
		text, err = os.ReadFile(configFile)
	}
	if err == nil {
		return unet.ParseGuidedConfig(text)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return unet.GuidedConfig{}, err
	}
	var problems error
	for name, cfg := range map[string]unet.GuidedConfig{"FFHQ": unet.FFHQ(), "ImageNet": unet.ImageNet256()} {
		err := weights.Check(set, unet.NewGuided(cfg).Params.Shapes())
		if err == nil {
			return cfg, nil
		}
		problems = errors.Join(problems, fmt.Errorf("not the network of %s: %w", name, err))
	}
	return unet.GuidedConfig{}, fmt.Errorf("no known network of guided diffusion, and no configuration %s: %w",
		configFile, problems)
}

// Device implements [Prior].
func (p *Pixel) Device() tensor.Device {
	if p.device == nil {
		return cpu.F32
	}
	return p.device
}

// Info implements [Prior].
func (p *Pixel) Info() Info { return Info{Name: p.Name, TrainSize: p.TrainSize} }

// Multiple implements [Prior].
func (p *Pixel) Multiple() int { return p.UNet.Factor() }

// Shape implements [Prior]: the state is the picture.
func (p *Pixel) Shape(h, w int) []int { return []int{1, h, w, 3} }

// Schedule implements [Prior].
func (p *Pixel) Schedule() schedule.Noise { return p.Noise }

// Unconditional implements [Prior]: there are no prompts.
func (p *Pixel) Unconditional() *tensor.Tensor { return nil }

// Networks implements [Prior].
func (p *Pixel) Networks() []Network {
	config := struct {
		unet.GuidedConfig
		Window int
	}{p.UNet.GuidedConfig, p.Window}
	return []Network{{"unet", config, p.UNet.Params}}
}

// Eps implements [Prior] for times between those of the schedule, too.
func (p *Pixel) Eps(g *autograd.Graph, z *autograd.Value, t float32, _ *tensor.Tensor) *autograd.Value {
	return p.predict(g, z, t, p.UNet.Eps)
}

// EpsVariance implements [Variances].
func (p *Pixel) EpsVariance(g *autograd.Graph, z *autograd.Value, t float32, _ *tensor.Tensor) (eps,
	v *autograd.Value) {
	both := p.predict(g, z, t, p.UNet.Forward)
	if !p.UNet.LearnSigma {
		return both, nil
	}
	return g.Slice(both, 0, 3), g.Slice(both, 3, 6)
}

// predict runs the network on windows of z, all at time t.
func (p *Pixel) predict(g *autograd.Graph, z *autograd.Value, t float32,
	f func(g *autograd.Graph, x *autograd.Value, t []float32) *autograd.Value) *autograd.Value {
	run := func(g *autograd.Graph, z *autograd.Value) *autograd.Value {
		times := make([]float32, z.T.Dim(0))
		for i := range times {
			times[i] = t
		}
		return f(g, z, times)
	}
	return windowed(g, z, p.side(), p.overlap(), p.Multiple(), 1, 1, run)
}

// side is the longest side of a window, and overlap what neighbours share.
func (p *Pixel) side() int    { return p.Window / p.Multiple() * p.Multiple() }
func (p *Pixel) overlap() int { return min(128, p.side()/4) }
