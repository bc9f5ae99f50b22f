package prior

import (
	_ "embed" // the default model
	"fmt"
	"strconv"
	"sync"

	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// The embedded model: see default/MODEL_CARD.md.
var (
	//go:embed default/vae.safetensors
	defaultVAE []byte
	//go:embed default/unet.safetensors
	defaultUNet []byte
	//go:embed default/pixel.safetensors
	defaultPixel []byte
)

// DefaultPixel is the embedded pixel prior, a small one trained on photographs. It is loaded once; all callers share
// it.
func DefaultPixel() (*Pixel, error) { return defaultPixels[cpu.F32]() }

// defaultPixels has it in each precision of the processor: the run that a method begins from asks for it again and
// again. On another device it is loaded for each run, since it goes with the device.
var defaultPixels = func() map[tensor.Device]func() (*Pixel, error) {
	all := map[tensor.Device]func() (*Pixel, error){}
	for _, dev := range []tensor.Device{cpu.F32, cpu.BF16, cpu.BF16Fast, cpu.F32X3, cpu.Int8} {
		all[dev] = sync.OnceValues(func() (*Pixel, error) { return embeddedPixel(dev) })
	}
	return all
}()

func embeddedPixel(dev tensor.Device) (*Pixel, error) {
	f, err := weights.Parse(defaultPixel)
	if err != nil {
		return nil, fmt.Errorf("embedded pixel model: %w", err)
	}
	m, err := pixelOf(f, "", dev)
	if err != nil {
		return nil, fmt.Errorf("embedded pixel model: %w", err)
	}
	m.Name = "embedded pixel model"
	return m, nil
}

// Default is the embedded model, a small one trained on flower photographs. It is
// loaded once; all callers share it.
var Default = sync.OnceValues(func() (*LatentDiffusion, error) { return embedded(cpu.F32) })

func embedded(dev tensor.Device) (*LatentDiffusion, error) {
	m, err := fromTrained(defaultVAE, defaultUNet, dev)
	if err != nil {
		return nil, fmt.Errorf("embedded model: %w", err)
	}
	m.Name = "embedded"
	return m, nil
}

// fromTrained makes a model of the two files that `psld train` writes. They carry their
// configuration in the metadata; the model knows no prompts.
func fromTrained(vaeFile, unetFile []byte, dev tensor.Device) (*LatentDiffusion, error) {
	v, err := LoadVAE(vaeFile, dev)
	if err != nil {
		return nil, err
	}
	f, err := weights.Parse(unetFile)
	if err != nil {
		return nil, err
	}
	cfg, err := unet.ParseConfig([]byte(f.Metadata()["config"]))
	if err != nil {
		return nil, err
	}
	if s, err := strconv.ParseFloat(f.Metadata()["vae_scaling_factor"], 32); err != nil || float32(s) != v.ScalingFactor {
		return nil, fmt.Errorf("the UNet was trained for a VAE with scaling factor %s, this one has %g",
			f.Metadata()["vae_scaling_factor"], v.ScalingFactor)
	}
	u := unet.New(cfg)
	set := weights.NewSet(f)
	if err := weights.Check(set, u.Params.Shapes()); err != nil {
		return nil, err
	}
	if err := u.Params.LoadFrozen(set, dev); err != nil {
		return nil, err
	}
	size, _ := strconv.Atoi(f.Metadata()["size"])
	m := &LatentDiffusion{VAE: v, UNet: u, TrainSize: size, Whole: WholePixels, Window: DefaultWindow, device: dev}
	if cfg.CrossAttentionDim > 0 {
		m.Empty = tensor.New(1, 1, cfg.CrossAttentionDim)
	}
	return m, m.check()
}

// LoadVAE makes an autoencoder of a file that `psld train vae` writes, for use on dev.
func LoadVAE(file []byte, dev tensor.Device) (*vae.Model, error) {
	f, err := weights.Parse(file)
	if err != nil {
		return nil, err
	}
	cfg, err := vae.ParseConfig([]byte(f.Metadata()["config"]))
	if err != nil {
		return nil, err
	}
	v := vae.New(cfg)
	set := weights.NewSet(f)
	if err := weights.Check(set, v.Params.Shapes()); err != nil {
		return nil, err
	}
	return v, v.Params.LoadFrozen(set, dev)
}
