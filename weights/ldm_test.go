package weights_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

// ldmEntries is a small unconditional LDM in the names of its repository: two
// resolutions of 32 and 64 channels, attention (heads of 32) on the second, and
// an autoencoder with a codebook. Element i of each tensor is i/64, of an
// averaged copy -i/64.
func ldmEntries() []weights.Entry {
	var entries []weights.Entry
	tensor := func(name string, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(i) / 64
		}
		entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: shape, Data: data})
	}
	layer := func(name string, shape ...int) {
		tensor(name+".weight", shape...)
		tensor(name+".bias", shape[0])
	}
	const u, v = "model.diffusion_model.", "first_stage_model."
	resnet := func(name string, in, out int) {
		layer(name+".in_layers.0", in)
		layer(name+".in_layers.2", out, in, 3, 3)
		layer(name+".emb_layers.1", out, 128)
		layer(name+".out_layers.0", out)
		layer(name+".out_layers.3", out, out, 3, 3)
		if in != out {
			layer(name+".skip_connection", out, in, 1, 1)
		}
	}
	attention := func(name string, c int) {
		layer(name+".norm", c)
		layer(name+".qkv", 3*c, c, 1)
		layer(name+".proj_out", c, c, 1)
	}
	layer(u+"time_embed.0", 128, 32)
	layer(u+"time_embed.2", 128, 128)
	layer(u+"input_blocks.0.0", 32, 3, 3, 3)
	resnet(u+"input_blocks.1.0", 32, 32)
	layer(u+"input_blocks.2.0.op", 32, 32, 3, 3)
	resnet(u+"input_blocks.3.0", 32, 64)
	attention(u+"input_blocks.3.1", 64)
	resnet(u+"middle_block.0", 64, 64)
	attention(u+"middle_block.1", 64)
	resnet(u+"middle_block.2", 64, 64)
	for i, c := range [][2]int{{128, 64}, {96, 64}, {96, 32}, {64, 32}} {
		resnet(fmt.Sprintf("%soutput_blocks.%d.0", u, i), c[0], c[1])
	}
	attention(u+"output_blocks.0.1", 64)
	attention(u+"output_blocks.1.1", 64)
	layer(u+"output_blocks.1.2.conv", 64, 64, 3, 3)
	layer(u+"out.0", 32)
	layer(u+"out.2", 3, 32, 3, 3)

	vaeResnet := func(name string, in, out int) {
		layer(name+".norm1", in)
		layer(name+".conv1", out, in, 3, 3)
		layer(name+".norm2", out)
		layer(name+".conv2", out, out, 3, 3)
		if in != out {
			layer(name+".nin_shortcut", out, in, 1, 1)
		}
	}
	for _, half := range []string{"encoder", "decoder"} {
		h := v + half
		vaeResnet(h+".mid.block_1", 32, 32)
		vaeResnet(h+".mid.block_2", 32, 32)
		layer(h+".mid.attn_1.norm", 32)
		for _, p := range []string{"q", "k", "v", "proj_out"} {
			layer(h+".mid.attn_1."+p, 32, 32, 1, 1)
		}
		layer(h+".norm_out", 32)
	}
	layer(v+"encoder.conv_in", 32, 3, 3, 3)
	vaeResnet(v+"encoder.down.0.block.0", 32, 32)
	layer(v+"encoder.conv_out", 3, 32, 3, 3)
	layer(v+"decoder.conv_in", 32, 3, 3, 3)
	vaeResnet(v+"decoder.up.0.block.0", 32, 32)
	vaeResnet(v+"decoder.up.0.block.1", 32, 32)
	layer(v+"decoder.conv_out", 3, 32, 3, 3)
	layer(v+"quant_conv", 3, 3, 1, 1)
	layer(v+"post_quant_conv", 3, 3, 1, 1)
	tensor(v+"quantize.embedding.weight", 16, 3)
	tensor(v+"loss.discriminator.main.0.weight", 4)

	return append(entries, weights.Entry{Name: "alphas_cumprod", DType: weights.F32, Shape: []int{1000}, Data: ldmAlphas()})
}

// ldmAlphas is the schedule of ffhq-ldm-vq-4: roots of beta evenly from those
// of 0.0015 to 0.0195.
func ldmAlphas() []float32 {
	a, product := make([]float32, 1000), 1.0
	for i := range a {
		root := math.Sqrt(0.0015) + (math.Sqrt(0.0195)-math.Sqrt(0.0015))*float64(i)/999
		product *= 1 - root*root
		a[i] = float32(product)
	}
	return a
}

func writeLDM(t *testing.T, entries []weights.Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, weights.Write(path, entries, nil))
	return path
}

func TestOpenLDM(t *testing.T) {
	m := openModel(t, writeLDM(t, ldmEntries()), weights.Options{})
	require.Nil(t, m.TextEncoder)
	require.Equal(t, ldmAlphas(), m.AlphasCumprod)
	require.JSONEq(t, `{"_class_name":"UNet2DModel","attention_head_dim":32,"block_out_channels":[32,64],"in_channels":3,"out_channels":3,
		"down_block_types":["DownBlock2D","AttnDownBlock2D"],"up_block_types":["AttnUpBlock2D","UpBlock2D"],
		"layers_per_block":1,"norm_eps":1e-05,"norm_num_groups":32}`, string(m.UNetConfig))
	require.JSONEq(t, `{"_class_name":"VQModel","block_out_channels":[32],"in_channels":3,"out_channels":3,"latent_channels":3,
		"layers_per_block":1,"norm_num_groups":32,"scaling_factor":1,"num_vq_embeddings":16,"vq_embed_dim":3,
		"down_block_types":["DownEncoderBlock2D"],"up_block_types":["UpDecoderBlock2D"]}`, string(m.VAEConfig))

	// QKVAttentionLegacy: qkv is [heads, 3, width, C].
	const c, width = 64, 32
	for at, name := range []string{"to_q", "to_k", "to_v"} {
		for block := range map[string]bool{"down_blocks.1": true, "mid_block": true, "up_blocks.0": true} {
			full := block + ".attentions.0." + name
			w, err := m.UNet.Tensor(full+".weight", []int{c, c})
			require.NoError(t, err)
			b, err := m.UNet.Tensor(full+".bias", []int{c})
			require.NoError(t, err)
			for row := range c {
				from := 3*width*(row/width) + at*width + row%width
				require.Equal(t, float32(from)/64, b[row])
				for col := range c {
					require.Equal(t, float32(from*c+col)/64, w[row*c+col])
				}
			}
		}
	}
	require.NoError(t, weights.Check(m.UNet, want(m.UNet)))
	info, ok := m.UNet.Info("mid_block.attentions.0.to_k.weight")
	require.True(t, ok)
	require.Equal(t, []int{c, c, 1}, info.Shape)
	_, err := m.UNet.Tensor("mid_block.attentions.0.to_out.0.weight", []int{c, c})
	require.NoError(t, err)

	s := m.Summary()
	require.Equal(t, "single file (LDM)", s.Layout)
	require.Equal(t, 2, s.Unused) // the schedule and the loss
	require.Contains(t, s.String(), "VQModel")

	// A head of another width, and one that cannot be.
	wide := openModel(t, m.Path, weights.Options{HeadWidth: 64})
	b, err := wide.UNet.Tensor("mid_block.attentions.0.to_k.bias", []int{c})
	require.NoError(t, err)
	require.Equal(t, float32(64)/64, b[0])
	_, err = weights.OpenModelWith(m.Path, weights.Options{HeadWidth: 48})
	require.ErrorContains(t, err, "no whole heads of 48 channels")
}

// want is the list of what a set holds, as linear layers.
func want(s *weights.Set) map[string][]int {
	shapes := map[string][]int{}
	for _, name := range s.Names() {
		info, _ := s.Info(name)
		shapes[name] = info.Shape
		if len(info.Shape) == 3 {
			shapes[name] = info.Shape[:2]
		}
	}
	return shapes
}

// The averaged weights are what the repository samples with.
func TestLDMAverages(t *testing.T) {
	var entries, copies []weights.Entry
	for _, e := range ldmEntries() {
		entries = append(entries, e)
		const prefix = "model.diffusion_model."
		if len(e.Name) < len(prefix) || e.Name[:len(prefix)] != prefix {
			continue
		}
		ema := weights.Entry{Name: "model_ema.diffusion_model", DType: weights.F32, Shape: e.Shape}
		for _, r := range e.Name[len(prefix):] {
			if r != '.' {
				ema.Name += string(r)
			}
		}
		for _, v := range e.Data {
			ema.Data = append(ema.Data, -v)
		}
		copies = append(copies, ema)
	}
	path := writeLDM(t, append(entries, copies...))
	cut := writeLDM(t, append(entries, copies[1:]...))
	for _, c := range []struct {
		path, ema string
		want      float32
	}{{path, "", -1}, {path, "yes", -1}, {path, "no", 1}, {cut, "", 1}} {
		m := openModel(t, c.path, weights.Options{EMA: c.ema})
		b, err := m.UNet.Tensor("conv_in.bias", []int{32})
		require.NoError(t, err)
		require.Equal(t, c.want*31/64, b[31], c.ema)
	}
	_, err := weights.OpenModelWith(cut, weights.Options{EMA: "yes"})
	require.ErrorContains(t, err, "no averaged copy (EMA) of tensor")
	_, err = weights.OpenModelWith(path, weights.Options{EMA: "maybe"})
	require.ErrorContains(t, err, `EMA "maybe": want yes or no`)
}

// A folder with the names of today or of old, and the schedule with it.
func TestSaveLDM(t *testing.T) {
	m := openModel(t, writeLDM(t, ldmEntries()), weights.Options{})
	dir := filepath.Join(t.TempDir(), "ldm")
	require.NoError(t, weights.SaveDiffusers(ctx, dir, m, weights.SaveOptions{}))
	again := openModel(t, dir, weights.Options{})
	require.Equal(t, "diffusers folder (LDM)", again.Summary().Layout)
	requireSameModel(t, m, again, weights.UNetPart, weights.VAEPart)
	require.Len(t, again.AlphasCumprod, 1000)
	for i, a := range again.AlphasCumprod {
		require.InEpsilon(t, m.AlphasCumprod[i], a, 1e-6)
	}
	info, _ := again.UNet.Info("mid_block.attentions.0.to_k.weight")
	require.Equal(t, []int{64, 64}, info.Shape)
	var scheduler struct {
		Start float64 `json:"beta_start"`
		End   float64 `json:"beta_end"`
		Betas []any   `json:"trained_betas"`
	}
	require.NoError(t, json.Unmarshal(again.Scheduler, &scheduler))
	require.Equal(t, 0.0015, scheduler.Start)
	require.Equal(t, 0.0195, scheduler.End)
	require.Nil(t, scheduler.Betas)

	err := weights.SaveSingle(ctx, filepath.Join(t.TempDir(), "x"), m, weights.SaveOptions{})
	require.ErrorContains(t, err, "no text encoder")

	for config, want := range map[string]string{
		`{"beta_schedule":"squaredcos_cap_v2"}`: "beta_schedule",
		`{"num_train_timesteps":10}`:            "num_train_timesteps 10",
		`{"trained_betas":[0.1]}`:               "1 trained_betas",
		`{"beta_end":2}`:                        "falls from 1 towards 0",
		`[]`:                                    "scheduler_config.json",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "scheduler", "scheduler_config.json"), []byte(config), 0o600))
		_, err := weights.OpenModel(dir)
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "scheduler", "scheduler_config.json")))
	_, err = weights.OpenModel(dir)
	require.ErrorContains(t, err, "noise schedule")
}

// Any other schedule is written in full.
func TestSaveOddSchedule(t *testing.T) {
	entries := ldmEntries()
	odd := entries[len(entries)-1].Data
	for i := range odd {
		odd[i] = float32(0.999 * math.Pow(0.995, float64(i)))
	}
	m := openModel(t, writeLDM(t, entries), weights.Options{})
	dir := filepath.Join(t.TempDir(), "ldm")
	require.NoError(t, weights.SaveDiffusers(ctx, dir, m, weights.SaveOptions{}))
	for i, a := range openModel(t, dir, weights.Options{}).AlphasCumprod {
		require.InEpsilon(t, odd[i], a, 1e-5)
	}
}

func TestLDMErrors(t *testing.T) {
	entries := ldmEntries()
	last := len(entries) - 1
	open := func(change func(e []weights.Entry) []weights.Entry) error {
		e := append([]weights.Entry{}, entries...)
		_, err := weights.OpenModel(writeLDM(t, change(e)))
		return err
	}
	require.ErrorContains(t, open(func(e []weights.Entry) []weights.Entry { return e[:last] }), "no tensor alphas_cumprod")
	require.ErrorContains(t, open(func(e []weights.Entry) []weights.Entry {
		e[last].DType = weights.F16
		return e
	}), "no tensor alphas_cumprod of 1000 F32 values")
	require.ErrorContains(t, open(func(e []weights.Entry) []weights.Entry {
		e[last].Data = make([]float32, 1000)
		return e
	}), `"alphas_cumprod": element 0 is 0`)
	require.ErrorContains(t, open(func(e []weights.Entry) []weights.Entry {
		return append(e, weights.Entry{Name: "cond_stage_model.embedding.weight", DType: weights.F32, Shape: []int{1}, Data: []float32{1}})
	}), "only unconditional")
}
