package unet_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/weights"
)

// guidedCase is what baselines.json says of the network.
type guidedCase struct {
	UNet struct {
		unet.GuidedConfig
		ChannelMult          string `json:"channel_mult"`
		AttentionResolutions string `json:"attention_resolutions"`
	} `json:"unet_config"`
}

func (c guidedCase) config(t *testing.T) unet.GuidedConfig {
	cfg := c.UNet.GuidedConfig
	numbers := func(s string) (list []int) {
		for _, f := range strings.Split(s, ",") {
			n, err := strconv.Atoi(f)
			require.NoError(t, err)
			list = append(list, n)
		}
		return list
	}
	cfg.ChannelMult, cfg.AttentionResolutions = numbers(c.UNet.ChannelMult), numbers(c.UNet.AttentionResolutions)
	cfg.NormGroups = 32
	return cfg
}

func TestGoldenGuided(t *testing.T) {
	for _, dir := range golden.Folders(t, "baselines") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c guidedCase
			golden.JSON(t, filepath.Join(dir, "baselines.json"), &c)
			m := unet.NewGuided(c.config(t))
			w, err := weights.Open(filepath.Join(dir, "guided_unet.fp16.safetensors"))
			require.NoError(t, err)
			defer w.Close()
			set := weights.NewSet(w)
			require.NoError(t, weights.Check(set, m.Params.Shapes()))
			require.NoError(t, m.Params.Load(set))
			f := golden.Load(t, filepath.Join(dir, "shared.safetensors"))
			x := nhwc(t, f, "x_start")
			seen := 0
			for at := range 1000 {
				name := fmt.Sprintf("unet.out.t%d", at)
				if !f.Has(name) {
					continue
				}
				seen++
				want, _ := golden.F32(t, f, name)
				g := autograd.NewGraph(cpu.F32)
				in := g.Input(x)
				y := m.Forward(g, in, []float32{float32(at)})
				golden.Check(t, name, y.T.NCHW(), want, forwardLimit)
				if vjp := fmt.Sprintf("unet.vjp.t%d", at); f.Has(vjp) {
					seen += 100
					want, _ := golden.F32(t, f, vjp)
					g.Backward(y, nhwc(t, f, "unet.cot"))
					golden.Check(t, vjp, in.Grad().NCHW(), want, gradLimit)
				}
				g.Release()
			}
			require.Greater(t, seen, 100, "cases forward, and one to the input")
		})
	}
}
