package prior

import (
	_ "embed" // the default model
	"fmt"
	"strconv"
	"sync"

	"psld/tensor"
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
)

// Default is the embedded model, a small one trained on flower photographs. It is
// loaded once; all callers share it.
var Default = sync.OnceValues(func() (*Latent, error) {
	m, err := FromTrained(defaultVAE, defaultUNet)
	if err != nil {
		return nil, fmt.Errorf("embedded model: %w", err)
	}
	m.Name = "embedded"
	return m, nil
})

// FromTrained makes a model of the two files that `psld train` writes. They carry their
// configuration in the metadata; the model knows no prompts.
func FromTrained(vaeFile, unetFile []byte) (*Latent, error) {
	v, err := LoadVAE(vaeFile)
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
		return nil, fmt.Errorf("the UNet was trained for a VAE with scaling factor %s, this one has %g", f.Metadata()["vae_scaling_factor"], v.ScalingFactor)
	}
	set := weights.NewSet(f)
	if err := fits(set, "down_blocks.%d.resnets.0.conv2.weight", cfg.BlockOutChannels); err != nil {
		return nil, err
	}
	u := unet.New(cfg)
	if err := u.Params.Load(set); err != nil {
		return nil, err
	}
	size, _ := strconv.Atoi(f.Metadata()["size"])
	m := &Latent{VAE: v, UNet: u, Empty: tensor.New(1, 1, cfg.CrossAttentionDim), TrainSize: size, Window: DefaultWindow}
	return m, m.check()
}

// LoadVAE makes an autoencoder of a file that `psld train vae` writes.
func LoadVAE(file []byte) (*vae.Model, error) {
	f, err := weights.Parse(file)
	if err != nil {
		return nil, err
	}
	cfg, err := vae.ParseConfig([]byte(f.Metadata()["config"]))
	if err != nil {
		return nil, err
	}
	set := weights.NewSet(f)
	if err := fits(set, "encoder.down_blocks.%d.resnets.0.conv2.weight", cfg.BlockOutChannels); err != nil {
		return nil, err
	}
	v := vae.New(cfg)
	return v, v.Params.Load(set)
}
