package prior

import (
	"psld/clip"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/vae"
)

// RandomTiny is a model of Stable Diffusion's architecture - VAE, UNet, text encoder, and a vocabulary of bytes -
// with few channels and random weights that depend on seed alone, the same on every machine: it restores nothing, but
// runs everything in milliseconds, for tests.
func RandomTiny(seed uint64) *LatentDiffusion {
	v := vae.New(vae.Config{InChannels: 3, LatentChannels: 4, BlockOutChannels: []int{8, 16}, LayersPerBlock: 1,
		NormNumGroups: 4, ScalingFactor: 1, MidAttention: true})
	u := unet.New(unet.Config{InChannels: 4, OutChannels: 4, BlockOutChannels: []int{16, 16}, LayersPerBlock: 1,
		DownBlockTypes: []string{unet.DownPlain, unet.DownCross}, UpBlockTypes: []string{unet.UpCross, unet.UpPlain},
		Heads: unet.Heads{2}, CrossAttentionDim: 8, NormNumGroups: 4, NormEps: 1e-5, FlipSinToCos: true})
	words := clip.ByteTokenizer()
	text := clip.New(clip.Config{VocabSize: words.VocabSize, MaxPositions: words.Positions, HiddenSize: 8,
		IntermediateSize: 16, Layers: 1, Heads: 2, HiddenAct: "quick_gelu", LayerNormEps: 1e-5})
	v.Params.Init(seed)
	u.Params.Init(seed + 1)
	text.Params.Init(seed + 2)
	empty, err := text.EncodePrompt(cpu.F32, clip.EmptyPrompt(words.VocabSize, words.Positions))
	if err != nil {
		panic(err) // a mistake in the sizes above
	}
	return &LatentDiffusion{Name: "random tiny", VAE: v, UNet: u, Text: text, Tokenizer: words,
		Empty: empty, TrainSize: 16}
}
