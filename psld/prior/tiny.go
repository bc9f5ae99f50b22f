package prior

import (
	"psld/tensor"
	"psld/unet"
	"psld/vae"
)

// RandomTiny is a model of the same architecture with few channels and random
// weights that depend on seed alone: it restores nothing, but runs everything in
// milliseconds, for tests.
func RandomTiny(seed uint64) *Latent {
	v := vae.New(vae.Config{InChannels: 3, LatentChannels: 4, BlockOutChannels: []int{8, 16}, LayersPerBlock: 1, NormNumGroups: 4, ScalingFactor: 1})
	u := unet.New(unet.Config{InChannels: 4, OutChannels: 4, BlockOutChannels: []int{16, 16}, LayersPerBlock: 1,
		DownBlockTypes: []string{unet.DownPlain, unet.DownCross}, UpBlockTypes: []string{unet.UpCross, unet.UpPlain},
		Heads: unet.Heads{2}, CrossAttentionDim: 8, NormNumGroups: 4, NormEps: 1e-5, FlipSinToCos: true})
	v.Params.Init(seed)
	u.Params.Init(seed + 1)
	return &Latent{Name: "random tiny", VAE: v, UNet: u, Empty: tensor.New(1, 1, 8), TrainSize: 16}
}
