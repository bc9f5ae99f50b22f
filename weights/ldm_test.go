package weights_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

// ldmSize is what a config of the latent-diffusion repository says of its
// networks.
type ldmSize struct {
	channels, layers   int // model_channels, num_res_blocks
	mult               []int
	attention          []bool // by resolution, finest first
	vaeChannels        int
	vaeMult            []int
	vaeLayers, entries int // of the codebook
}

var (
	ldmSmall = ldmSize{32, 1, []int{1, 2}, []bool{false, true}, 32, []int{1}, 1, 16}
	// ffhq-ldm-vq-4.
	ldmFull = ldmSize{224, 2, []int{1, 2, 3, 4}, []bool{false, true, true, true}, 128, []int{1, 2, 4}, 2, 8192}
)

// tensors calls add with the name and shape of every tensor, as openaimodel.py
// and the autoencoder's model.py of that repository build them.
func (c ldmSize) tensors(add func(name string, shape ...int)) {
	layer := func(name string, shape ...int) {
		add(name+".weight", shape...)
		add(name+".bias", shape[0])
	}
	c.unetTensors(layer)
	c.vaeTensors(layer)
	add("first_stage_model.quantize.embedding.weight", c.entries, 3)
	add("first_stage_model.loss.discriminator.main.0.weight", 4)
}

// unetTensors calls layer with the name of each layer of the UNet and the shape of its weight.
func (c ldmSize) unetTensors(layer func(name string, shape ...int)) {
	const u = "model.diffusion_model."
	embed := 4 * c.channels
	resnet := func(name string, in, out int) {
		layer(name+".in_layers.0", in)
		layer(name+".in_layers.2", out, in, 3, 3)
		layer(name+".emb_layers.1", out, embed)
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
	layer(u+"time_embed.0", embed, c.channels)
	layer(u+"time_embed.2", embed, embed)
	layer(u+"input_blocks.0.0", c.channels, 3, 3, 3)
	skips, ch, block := []int{c.channels}, c.channels, 1
	for level, m := range c.mult {
		for range c.layers {
			name := fmt.Sprintf("%sinput_blocks.%d.", u, block)
			resnet(name+"0", ch, m*c.channels)
			ch = m * c.channels
			if c.attention[level] {
				attention(name+"1", ch)
			}
			skips, block = append(skips, ch), block+1
		}
		if level < len(c.mult)-1 {
			layer(fmt.Sprintf("%sinput_blocks.%d.0.op", u, block), ch, ch, 3, 3)
			skips, block = append(skips, ch), block+1
		}
	}
	resnet(u+"middle_block.0", ch, ch)
	attention(u+"middle_block.1", ch)
	resnet(u+"middle_block.2", ch, ch)
	block = 0
	for level := len(c.mult) - 1; level >= 0; level-- {
		for i := range c.layers + 1 {
			name, place := fmt.Sprintf("%soutput_blocks.%d.", u, block), 1
			last := len(skips) - 1
			resnet(name+"0", ch+skips[last], c.mult[level]*c.channels)
			skips, ch, block = skips[:last], c.mult[level]*c.channels, block+1
			if c.attention[level] {
				attention(name+"1", ch)
				place = 2
			}
			if level > 0 && i == c.layers {
				layer(fmt.Sprintf("%s%d.conv", name, place), ch, ch, 3, 3)
			}
		}
	}
	layer(u+"out.0", ch)
	layer(u+"out.2", 3, ch, 3, 3)
}

// vaeTensors does the same for the autoencoder.
func (c ldmSize) vaeTensors(layer func(name string, shape ...int)) {
	const v = "first_stage_model."
	vaeResnet := func(name string, in, out int) {
		layer(name+".norm1", in)
		layer(name+".conv1", out, in, 3, 3)
		layer(name+".norm2", out)
		layer(name+".conv2", out, out, 3, 3)
		if in != out {
			layer(name+".nin_shortcut", out, in, 1, 1)
		}
	}
	top := c.vaeChannels * c.vaeMult[len(c.vaeMult)-1]
	for _, half := range []string{"encoder", "decoder"} {
		h := v + half
		vaeResnet(h+".mid.block_1", top, top)
		vaeResnet(h+".mid.block_2", top, top)
		layer(h+".mid.attn_1.norm", top)
		for _, p := range []string{"q", "k", "v", "proj_out"} {
			layer(h+".mid.attn_1."+p, top, top, 1, 1)
		}
	}
	layer(v+"encoder.conv_in", c.vaeChannels, 3, 3, 3)
	ch := c.vaeChannels
	for level, m := range c.vaeMult {
		for i := range c.vaeLayers {
			vaeResnet(fmt.Sprintf("%sencoder.down.%d.block.%d", v, level, i), ch, m*c.vaeChannels)
			ch = m * c.vaeChannels
		}
		if level < len(c.vaeMult)-1 {
			layer(fmt.Sprintf("%sencoder.down.%d.downsample.conv", v, level), ch, ch, 3, 3)
		}
	}
	layer(v+"encoder.norm_out", ch)
	layer(v+"encoder.conv_out", 3, ch, 3, 3)
	layer(v+"decoder.conv_in", ch, 3, 3, 3)
	for level := len(c.vaeMult) - 1; level >= 0; level-- {
		for i := range c.vaeLayers + 1 {
			vaeResnet(fmt.Sprintf("%sdecoder.up.%d.block.%d", v, level, i), ch, c.vaeMult[level]*c.vaeChannels)
			ch = c.vaeMult[level] * c.vaeChannels
		}
		if level > 0 {
			layer(fmt.Sprintf("%sdecoder.up.%d.upsample.conv", v, level), ch, ch, 3, 3)
		}
	}
	layer(v+"decoder.norm_out", ch)
	layer(v+"decoder.conv_out", 3, ch, 3, 3)
	layer(v+"quant_conv", 3, 3, 1, 1)
	layer(v+"post_quant_conv", 3, 3, 1, 1)
}

// ldmEntries is a small unconditional LDM: two resolutions of 32 and 64
// channels, attention (heads of 32) on the second, and an autoencoder with a
// codebook. Element i of each tensor is i/64.
func ldmEntries() []weights.Entry {
	var entries []weights.Entry
	ldmSmall.tensors(func(name string, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(i) / 64
		}
		entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: shape, Data: data})
	})
	return append(entries, weights.Entry{Name: "alphas_cumprod", DType: weights.F32, Shape: []int{1000},
		Data: ldmAlphas()})
}

// A file of the size of ffhq-ldm-vq-4 gives the names and shapes that diffusers'
// own classes have at that size.
func TestFullSizeLDM(t *testing.T) {
	shapes := map[string][]int{}
	ldmFull.tensors(func(name string, shape ...int) { shapes[name] = shape })
	path := filepath.Join(t.TempDir(), "model.safetensors")
	writeHole(t, path, shapes, ldmAlphas()...)
	m := openModel(t, path, weights.Options{})
	all := map[string]map[string][]int{}
	for part, file := range map[string]string{weights.UNetPart: "unet/testdata/ldm_keys.json",
		weights.VAEPart: "vae/testdata/vq_keys.json"} {
		var rows [][2]json.RawMessage // name, shape
		golden.JSON(t, filepath.Join(golden.Root(), filepath.FromSlash(file)), &rows)
		all[part] = map[string][]int{}
		for _, r := range rows {
			var name string
			var shape []int
			require.NoError(t, errors.Join(json.Unmarshal(r[0], &name), json.Unmarshal(r[1], &shape)))
			all[part][name] = shape
		}
	}
	require.NoError(t, m.Check(all))
	require.Equal(t, 274_056_163, m.Summary().Parts[0].Params)
	for part, list := range all {
		for name, shape := range list {
			info, _ := m.Part(part).Info(name)
			require.Equal(t, shape, weights.FileShape(name, info.Shape, false), name)
		}
	}
	var config map[string]any
	require.NoError(t, json.Unmarshal(m.UNetConfig, &config))
	require.Equal(t, []any{224., 448., 672., 896.}, config["block_out_channels"])
	require.Equal(t, []any{"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"},
		config["down_block_types"])
	require.NoError(t, json.Unmarshal(m.VAEConfig, &config))
	require.Equal(t, []any{128., 256., 512.}, config["block_out_channels"])
	require.EqualValues(t, 8192, config["num_vq_embeddings"])
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
	require.JSONEq(t,
		`{"_class_name":"UNet2DModel","attention_head_dim":32,"block_out_channels":[32,64],"in_channels":3,"out_channels":3,
		"down_block_types":["DownBlock2D","AttnDownBlock2D"],"up_block_types":["AttnUpBlock2D","UpBlock2D"],
		"layers_per_block":1,"norm_eps":1e-05,"norm_num_groups":32}`, string(m.UNetConfig))
	require.JSONEq(t,
		`{"_class_name":"VQModel","block_out_channels":[32],"in_channels":3,"out_channels":3,"latent_channels":3,
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
	_, err = weights.OpenModel(m.Path, weights.Options{HeadWidth: 48})
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
	_, err := weights.OpenModel(cut, weights.Options{EMA: "yes"})
	require.ErrorContains(t, err, "no averaged copy (EMA) of tensor")
	_, err = weights.OpenModel(path, weights.Options{EMA: "maybe"})
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
		`{"beta_schedule":"sigmoid"}`:                       "beta_schedule",
		`{"num_train_timesteps":1}`:                         "num_train_timesteps 1",
		`{"num_train_timesteps":null}`:                      "num_train_timesteps is null",
		`{"trained_betas":[0.1]}`:                           "1 trained_betas",
		`{"beta_end":2}`:                                    "falls from 1 towards 0",
		`{"beta_end":Infinity}`:                             "beta_end",
		`[]`:                                                "scheduler_config.json",
		`{"prediction_type":"flow"}`:                        "prediction_type",
		`{"timestep_spacing":"log"}`:                        "timestep_spacing",
		`{"clip_sample":true}`:                              "clip_sample is true",
		`{"thresholding":true}`:                             "thresholding is true",
		`{"steps_offset":1000}`:                             "steps_offset is 1000",
		`{"final_sigmas_type":"sigma_min"}`:                 "final_sigmas_type",
		`{"_class_name":"FlowMatchEulerDiscreteScheduler"}`: "_class_name",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "scheduler", "scheduler_config.json"), []byte(config), 0o600))
		_, err := weights.OpenModel(dir, weights.Options{})
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "scheduler", "scheduler_config.json")))
	_, err = weights.OpenModel(dir, weights.Options{})
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
		_, err := weights.OpenModel(writeLDM(t, change(e)), weights.Options{})
		return err
	}
	require.ErrorContains(t, open(func(e []weights.Entry) []weights.Entry { return e[:last] }),
		"no tensor alphas_cumprod")
	require.ErrorContains(t, open(func(e []weights.Entry) []weights.Entry {
		e[last].DType = weights.F16
		return e
	}), "no tensor alphas_cumprod of 1000 F32 values")
	require.ErrorContains(t, open(func(e []weights.Entry) []weights.Entry {
		e[last].Data = make([]float32, 1000)
		return e
	}), `"alphas_cumprod": element 0 is 0`)
	require.ErrorContains(t, open(func(e []weights.Entry) []weights.Entry {
		return append(e, weights.Entry{Name: "cond_stage_model.embedding.weight", DType: weights.F32, Shape: []int{1},
			Data: []float32{1}})
	}), "only unconditional")
}
