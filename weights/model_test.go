package weights_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

// mapRow is a row of tiny-sd/mapping.json.
type mapRow struct {
	CompVis string
	Part    string `json:"diffusers_folder"` // "" for schedule buffers
	Name    string `json:"diffusers"`
	Shape   []int  // in the CompVis layout
}

func mapping(t *testing.T, folder string) []mapRow {
	t.Helper()
	var rows []mapRow
	golden.JSON(t, filepath.Join(folder, "mapping.json"), &rows)
	require.NotEmpty(t, rows)
	for i := range rows {
		rows[i].Part = strings.TrimSuffix(rows[i].Part, "/")
	}
	return rows
}

// part picks one of a model's sets by its folder name.
func part(m *weights.Model, name string) *weights.Set {
	return map[string]*weights.Set{weights.UNetPart: m.UNet, weights.VAEPart: m.VAE,
		weights.TextPart: m.TextEncoder}[name]
}

var parts = []string{weights.UNetPart, weights.VAEPart, weights.TextPart}

// requireSameModel compares all tensors of two models.
func requireSameModel(t *testing.T, want, got *weights.Model, parts ...string) {
	t.Helper()
	for _, p := range parts {
		require.Equal(t, part(want, p).Names(), part(got, p).Names(), p)
		for _, name := range part(want, p).Names() {
			info, _ := part(want, p).Info(name)
			a, err := part(want, p).Tensor(name, info.Shape)
			require.NoError(t, err)
			b, err := part(got, p).Tensor(name, info.Shape)
			require.NoError(t, err)
			require.Equal(t, a, b, "%s/%s", p, name)
		}
	}
}

// The shapes in mapping.json are what a network would ask for.
func wantShapes(t *testing.T, folder string) map[string]map[string][]int {
	t.Helper()
	out := map[string]map[string][]int{weights.UNetPart: {}, weights.VAEPart: {}, weights.TextPart: {}}
	for _, r := range mapping(t, folder) {
		if r.Part != "" && !strings.HasSuffix(r.Name, "position_ids") {
			out[r.Part][r.Name] = r.Shape
		}
	}
	return out
}

func TestOpenModelLayouts(t *testing.T) {
	for _, folder := range golden.Folders(t, "tiny-sd") {
		m := golden.Model(t, folder)
		want := wantShapes(t, folder)
		for _, p := range parts {
			require.NoError(t, weights.Check(part(m, p), want[p]))
		}
		for _, c := range []struct {
			layout, variant string
			parts           []string // which hold the same values
		}{
			{"diffusers", "fp16", parts},
			{"diffusers", "bf16", parts[1:]},
			{"compvis", "", parts},
		} {
			other := golden.OpenLayout(t, folder, c.layout, c.variant)
			if other == nil {
				continue
			}
			for _, p := range parts {
				require.NoError(t, weights.Check(part(other, p), want[p]), "%s %s", c.layout, c.variant)
			}
			requireSameModel(t, m, other, c.parts...)
		}
	}
}

// writeCompVis stores a tiny-sd folder as one CompVis file, by mapping.json,
// with things in it that are to be ignored.
func writeCompVis(t *testing.T, folder, path string) {
	t.Helper()
	m := golden.Model(t, folder)
	var entries []weights.Entry
	for _, r := range mapping(t, folder) {
		e := weights.Entry{Name: r.CompVis, DType: weights.F16, Shape: r.Shape}
		var err error
		switch {
		case strings.HasSuffix(r.Name, "position_ids"):
			e.DType, e.Raw = weights.I64, make([]byte, 8*r.Shape[len(r.Shape)-1])
		case r.Part == "":
			e.Data = make([]float32, r.Shape[0])
		default:
			e.Data, err = part(m, r.Part).Tensor(r.Name, r.Shape)
			require.NoError(t, err)
		}
		entries = append(entries, e)
	}
	for _, name := range []string{"model_ema.decay", "model_ema.diffusion_modelout2weight",
		"first_stage_model.loss.logvar", "global_step"} {
		entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: []int{1}, Data: []float32{1}})
	}
	require.NoError(t, weights.Write(path, entries, nil))
}

// A single file gives the same tensors as the folder, and configs that agree
// with the folder's.
func TestOpenSingleFile(t *testing.T) {
	for _, folder := range golden.Folders(t, "tiny-sd") {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		writeCompVis(t, folder, path)
		want := golden.Model(t, folder)
		var text struct {
			Heads int `json:"num_attention_heads"`
		}
		require.NoError(t, json.Unmarshal(want.TextConfig, &text))
		var unet struct {
			Heads int `json:"attention_head_dim"`
		}
		require.NoError(t, json.Unmarshal(want.UNetConfig, &unet))

		got, err := weights.OpenModel(path, weights.Options{Heads: unet.Heads, TextHeads: text.Heads})
		require.NoError(t, err)
		requireSameModel(t, want, got, parts...)
		for _, c := range []struct{ derived, stored json.RawMessage }{
			{got.UNetConfig, want.UNetConfig}, {got.VAEConfig, want.VAEConfig}, {got.TextConfig, want.TextConfig},
		} {
			var derived, stored map[string]any
			require.NoError(t, json.Unmarshal(c.derived, &derived))
			require.NoError(t, json.Unmarshal(c.stored, &stored))
			require.NotEmpty(t, derived)
			for key, v := range derived {
				if s, ok := stored[key]; ok { // older configs have no scaling_factor
					require.Equal(t, s, v, key)
				}
			}
		}
		require.NoError(t, got.Close())

		got, err = weights.OpenModel(path, weights.Options{})
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(got.UNetConfig, &unet))
		require.Equal(t, 8, unet.Heads)
		require.NoError(t, got.Close())
	}
}

// keyRows reads names and shapes of a full-size model from a file of keys/.
func keyRows(t *testing.T, file string) map[string][]int {
	t.Helper()
	var rows [][]any
	golden.JSON(t, filepath.Join(golden.Kind(t, "keys"), file), &rows)
	shapes := map[string][]int{}
	for _, r := range rows {
		shape := []int{}
		for _, d := range r[1].([]any) {
			shape = append(shape, int(d.(float64)))
		}
		shapes[r[0].(string)] = shape
	}
	require.NotEmpty(t, shapes)
	return shapes
}

// writeHole stores alphas_cumprod, if there is one, and tensors of these shapes,
// all data in a hole of the file, one byte an element.
func writeHole(t *testing.T, path string, shapes map[string][]int, alphas ...float32) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a file with a hole in it, and mmap")
	}
	type info struct {
		DType   weights.DType `json:"dtype"`
		Shape   []int         `json:"shape"`
		Offsets [2]int        `json:"data_offsets"`
	}
	header, at := map[string]info{}, 4*len(alphas)
	if at > 0 {
		header["alphas_cumprod"] = info{weights.F32, []int{len(alphas)}, [2]int{0, at}}
	}
	var data []byte
	for _, v := range alphas {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	for name, shape := range shapes {
		size := 1
		for _, d := range shape {
			size *= d
		}
		header[name] = info{weights.U8, shape, [2]int{at, at + size}}
		at += size
	}
	b, err := json.Marshal(header)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, raw(string(b), data...), 0o600))
	require.NoError(t, os.Truncate(path, int64(8+len(b)+at)))
}

// requireFullSize checks every name and shape of SD 1.5, and the numbers of
// parameters, of an open model.
func requireFullSize(t *testing.T, m *weights.Model) {
	t.Helper()
	want := map[string]map[string][]int{}
	for part, file := range map[string]string{
		weights.UNetPart: "diffusers_unet.json", weights.VAEPart: "diffusers_vae.json",
		weights.TextPart: "diffusers_text_encoder.json",
	} {
		want[part] = keyRows(t, file)
		delete(want[part], "text_model.embeddings.position_ids")
	}
	require.NoError(t, m.Check(want))
	var totals struct {
		UNet int `json:"unet_params"`
		VAE  int `json:"vae_params"`
		Text int `json:"clip_text_params"`
	}
	golden.JSON(t, filepath.Join(golden.Kind(t, "keys"), "totals.json"), &totals)
	require.Equal(t, []int{859_520_964, 83_653_863, 123_060_480}, []int{totals.UNet, totals.VAE, totals.Text})
	var params, tensors []int
	for _, p := range m.Summary().Parts {
		params, tensors = append(params, p.Params), append(tensors, p.Tensors)
	}
	require.Equal(t, []int{totals.UNet, totals.VAE, totals.Text}, params)
	require.Equal(t, []int{686, 248, 196}, tensors) // without position_ids
}

// A folder of full size, its VAE in the older names.
func TestFullSizeFolder(t *testing.T) {
	for _, vae := range []string{"diffusers_vae.json", "diffusers_vae_legacy.json"} {
		dir := t.TempDir()
		for file, keys := range map[string]string{
			"unet/diffusion_pytorch_model.safetensors": "diffusers_unet.json",
			"vae/diffusion_pytorch_model.safetensors":  vae,
			"text_encoder/model.safetensors":           "diffusers_text_encoder.json",
		} {
			path := filepath.Join(dir, filepath.FromSlash(file))
			writeHole(t, path, keyRows(t, keys))
			require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "config.json"), []byte("{}"), 0o600))
		}
		m, err := weights.OpenModel(dir, weights.Options{})
		require.NoError(t, err)
		requireFullSize(t, m)
		require.NoError(t, m.Close())
	}
}

// A single file with the names and shapes of SD 1.5 gives SD 1.5's published config.
func TestDeriveFullSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v1-5.safetensors")
	writeHole(t, path, keyRows(t, "compvis.json"))
	m, err := weights.OpenModel(path, weights.Options{})
	require.NoError(t, err)
	defer m.Close()
	for _, c := range []struct {
		got  json.RawMessage
		want string
	}{
		{m.UNetConfig, `{"_class_name":"UNet2DConditionModel","attention_head_dim":8,
			"block_out_channels":[320,640,1280,1280],"cross_attention_dim":768,
			"down_block_types":["CrossAttnDownBlock2D","CrossAttnDownBlock2D","CrossAttnDownBlock2D","DownBlock2D"],
			"up_block_types":["UpBlock2D","CrossAttnUpBlock2D","CrossAttnUpBlock2D","CrossAttnUpBlock2D"],
			"in_channels":4,"out_channels":4,"layers_per_block":2,"norm_eps":1e-05,"norm_num_groups":32}`},
		{m.VAEConfig, `{"_class_name":"AutoencoderKL","block_out_channels":[128,256,512,512],
			"in_channels":3,"out_channels":3,"latent_channels":4,"layers_per_block":2,"norm_num_groups":32,
			"scaling_factor":0.18215,
			"down_block_types":["DownEncoderBlock2D","DownEncoderBlock2D","DownEncoderBlock2D","DownEncoderBlock2D"],
			"up_block_types":["UpDecoderBlock2D","UpDecoderBlock2D","UpDecoderBlock2D","UpDecoderBlock2D"]}`},
		{m.TextConfig, `{"hidden_act":"quick_gelu","hidden_size":768,"intermediate_size":3072,"layer_norm_eps":1e-05,
			"max_position_embeddings":77,"num_attention_heads":12,"num_hidden_layers":12,"vocab_size":49408}`},
	} {
		require.JSONEq(t, c.want, string(c.got))
	}
	requireFullSize(t, m)
	require.Equal(t, 13, m.Summary().Unused) // the schedule and position_ids
	require.Equal(t, "single file (CompVis)", m.Summary().Layout)

	// Other tools ask for the autoencoder alone.
	v, err := weights.OpenVAE(path)
	require.NoError(t, err)
	defer v.Close()
	require.Equal(t, m.VAE.Names(), v.VAE.Names())
	require.JSONEq(t, string(m.VAEConfig), string(v.VAEConfig))
}

// writeFolder makes a small diffusers folder; change may edit the list of files.
func writeFolder(t *testing.T, change func(files map[string][]byte)) string {
	t.Helper()
	one := func(name string) []byte {
		return raw(fmt.Sprintf(`{%q:{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, name), 5)
	}
	files := map[string][]byte{
		"unet/config.json":                              []byte(`{}`),
		"unet/diffusion_pytorch_model.safetensors":      one("conv_in.bias"),
		"vae/config.json":                               []byte(`{}`),
		"vae/diffusion_pytorch_model.safetensors":       one("encoder.mid_block.attentions.0.proj_attn.bias"),
		"text_encoder/config.json":                      []byte(`{}`),
		"text_encoder/model-00001-of-00002.safetensors": one("text_model.a"),
		"text_encoder/model-00002-of-00002.safetensors": one("text_model.b"),
		"text_encoder/model.safetensors.index.json": []byte(
			`{"weight_map":{"text_model.a":"model-00001-of-00002.safetensors",` +
				`"text_model.b":"model-00002-of-00002.safetensors"}}`),
		"unet/diffusion_pytorch_model.non_ema.safetensors": []byte("never opened"),
	}
	if change != nil {
		change(files)
	}
	dir := t.TempDir()
	for name, data := range files {
		if data == nil {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	return dir
}

func TestOpenFolder(t *testing.T) {
	m, err := weights.OpenModel(writeFolder(t, nil), weights.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"conv_in.bias"}, m.UNet.Names())
	require.Equal(t, []string{"encoder.mid_block.attentions.0.to_out.0.bias"}, m.VAE.Names()) // the present-day name
	require.Equal(t, []string{"text_model.a", "text_model.b"}, m.TextEncoder.Names())
	require.NoError(t, m.Close())

	// Files of other names: .bin is taken where there is no safetensors of any variant.
	m, err = weights.OpenModel(writeFolder(t, func(f map[string][]byte) {
		unet, vae, text := "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/"
		f[unet+".fp16.safetensors"], f[unet+".safetensors"], f[unet+".bin"] = f[unet+".safetensors"], nil,
			[]byte("never opened")
		f[vae+".bin"], f[vae+".safetensors"] = f[vae+".safetensors"], nil
		f[text+"pytorch_model-00001-of-00001.bin"] = f[text+"model-00001-of-00002.safetensors"]
		f[text+"pytorch_model.bin.index.json"] = []byte(`{"weight_map":{"text_model.a":"pytorch_model-00001-of-00001.bin"}}`)
		f[text+"model.safetensors.index.json"] = nil
		f["model_index.json"] = []byte(`{"_class_name":"StableDiffusionPipeline"}`)
	}), weights.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"conv_in.bias"}, m.UNet.Names())
	require.Equal(t, []string{"text_model.a"}, m.TextEncoder.Names())
	var files []string
	for _, p := range m.Summary().Parts {
		for _, f := range p.Files {
			files = append(files, filepath.Base(f))
		}
	}
	require.Equal(t, []string{"diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin",
		"pytorch_model-00001-of-00001.bin"}, files)
	require.NoError(t, m.Close())

	const index = "text_encoder/model.safetensors.index.json"
	for _, c := range []struct {
		name   string
		change func(files map[string][]byte)
		opts   weights.Options
		want   []string
	}{
		{"no vae", func(f map[string][]byte) {
			f["vae/config.json"], f["vae/diffusion_pytorch_model.safetensors"] = nil, nil
		}, weights.Options{}, []string{"vae/", "--vae names one"}},
		{"no config", func(f map[string][]byte) { f["unet/config.json"] = nil }, weights.Options{}, []string{"config.json"}},
		{"bad config", func(f map[string][]byte) { f["unet/config.json"] = []byte("{") }, weights.Options{},
			[]string{"config.json", "not valid JSON"}},
		{"no weights", func(f map[string][]byte) { f["unet/diffusion_pytorch_model.safetensors"] = nil }, weights.Options{},
			[]string{"unet", "diffusion_pytorch_model.safetensors"}},
		{"another pipeline", func(f map[string][]byte) {
			f["model_index.json"] = []byte(`{"_class_name":"StableDiffusionXLPipeline"}`)
		}, weights.Options{}, []string{"model_index.json", "StableDiffusionXLPipeline", "want StableDiffusionPipeline"}},
		{"unknown pipeline", func(f map[string][]byte) { f["model_index.json"] = []byte(`{"_class_name":"DiTPipeline"}`) },
			weights.Options{}, []string{"DiTPipeline"}},
		{"no variant", nil, weights.Options{Variant: "fp16"}, []string{"unet", "fp16"}},
		{"bad weights", func(f map[string][]byte) { f["vae/diffusion_pytorch_model.safetensors"] = []byte("x") },
			weights.Options{}, []string{"vae", "not a valid safetensors file"}},
		{"shard missing", func(f map[string][]byte) { f["text_encoder/model-00002-of-00002.safetensors"] = nil },
			weights.Options{}, []string{"index.json", "model-00002-of-00002"}},
		{"not in shard", func(f map[string][]byte) {
			f[index] = []byte(`{"weight_map":{"text_model.c":"model-00001-of-00002.safetensors"}}`)
		}, weights.Options{}, []string{"text_model.c", "model-00001"}},
		{"path in index", func(f map[string][]byte) {
			f[index] = []byte(`{"weight_map":{"text_model.a":"../unet/diffusion_pytorch_model.safetensors"}}`)
		}, weights.Options{}, []string{"not a plain file name"}},
		{"dots in index", func(f map[string][]byte) { f[index] = []byte(`{"weight_map":{"a":".."}}`) }, weights.Options{},
			[]string{"not a plain file name"}},
		{"empty index", func(f map[string][]byte) { f[index] = []byte(`{}`) }, weights.Options{}, []string{"no weight_map"}},
		{"two names for one tensor", func(f map[string][]byte) {
			f["vae/diffusion_pytorch_model.safetensors"] = raw(
				`{"m.attentions.0.key.bias":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},`+
					`"m.attentions.0.to_k.bias":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 1, 2)
		}, weights.Options{}, []string{"m.attentions.0.to_k.bias", "twice"}},
	} {
		_, err := weights.OpenModel(writeFolder(t, c.change), c.opts)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, c.name)
		}
	}
	_, err = weights.OpenModel(filepath.Join(t.TempDir(), "nowhere"), weights.Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Files that are no SD 1.x checkpoint say what they are.
func TestOpenSingleFileErrors(t *testing.T) {
	for name, want := range map[string]string{
		"something.else":                                               "it is no Stable Diffusion 1.x checkpoint",
		"conditioner.embedders.0.x":                                    "SDXL",
		"model.diffusion_model.label_emb.0.0.weight":                   "SDXL",
		"cond_stage_model.model.x":                                     "Stable Diffusion 2.x",
		"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": "Stable Diffusion 3",
		"transformer_blocks.0.attn.add_k_proj.weight":                  "Stable Diffusion 3",
		"double_blocks.0.img_attn.qkv.weight":                          "Flux",
		"lora_unet_down_blocks_0.lora_down.weight":                     "it is a LoRA",
		"unet.mid_block.attentions.0.proj_in.lora_A.weight":            "--lora gives it to a model",
		"base_model.model.x.lora_B.default.weight":                     "it is a LoRA",
		"lora_unet_mid_block.hada_w1_a":                                "it is a LoRA",
		"emb_params":                                                   "textual inversion",
		"<my-cat>":                                                     "textual inversion",
		"control_model.input_blocks.0.0.weight":                        "ControlNet",
		"controlnet_cond_embedding.conv_in.weight":                     "ControlNet",
		"ip_adapter.1.to_k_ip.weight":                                  "IP-Adapter",
		"encoder.down.0.block.0.norm1.weight":                          "--vae gives it to a model",
		"decoder.conv_in.weight":                                       "--vae gives it to a model",
		"first_stage_model.encoder.conv_in.weight":                     "--vae gives it to a model",
		"decoder.layers.0.weight":                                      "--taesd gives it to a model",
		"model.diffusion_model.x.weight_scale":                         "scaled float8",
		"text_model.embeddings.token_embedding.weight":                 "a text encoder alone",
		"down_blocks.0.resnets.0.norm1.bias":                           "a UNet alone",
		"model.diffusion_model.input_blocks.0.0.weight":                "no autoencoder; --vae names one",
		"cond_stage_model.transformer.text_model.some.weight":          "a text encoder alone",
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		require.NoError(t,
			weights.Write(path, []weights.Entry{{Name: name, DType: weights.F32, Shape: []int{1}, Data: []float32{0}}}, nil))
		_, err := weights.OpenModel(path, weights.Options{})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
	}
}

// A hostile file may claim thousands of levels of thousands of layers.
func TestManyLevels(t *testing.T) {
	var entries []weights.Entry
	for i := range 1000 {
		for _, name := range []string{
			fmt.Sprintf("first_stage_model.encoder.down.%d.block.0.conv1.weight", i),
			fmt.Sprintf("first_stage_model.encoder.down.0.block.%d.conv1.weight", i+1),
			fmt.Sprintf("model.diffusion_model.input_blocks.%d.0.in_layers.0.weight", i),
		} {
			entries = append(entries, weights.Entry{Name: name, DType: weights.U8, Shape: []int{1}, Data: []float32{1}})
		}
	}
	path := filepath.Join(t.TempDir(), "many.safetensors")
	require.NoError(t, weights.Write(path, entries, nil))
	_, err := weights.OpenModel(path, weights.Options{})
	require.ErrorContains(t, err, "no tensors cond_stage_model")
}

// FuzzFolder opens and saves folders whose JSON files say anything.
func FuzzFolder(f *testing.F) {
	f.Add(`{}`, `{"weight_map":{"text_model.a":"model-00001-of-00002.safetensors"}}`,
		`{"_class_name":"StableDiffusionPipeline"}`, `{"beta_start":1}`)
	f.Add(`null`, `{"weight_map":{"text_model.a":".."}}`, `{"_class_name":"FluxPipeline"}`, `{"trained_betas":[0.1]}`)
	f.Add(`{"_class_name":"VQModel"}`, `{"weight_map":{"a":""}}`, `null`, `null`)
	f.Fuzz(func(t *testing.T, config, index, pipeline, scheduler string) {
		dir := writeFolder(t, func(files map[string][]byte) {
			files["unet/config.json"], files["vae/config.json"], files["model_index.json"] = []byte(config), []byte(config),
				[]byte(pipeline)
			files["text_encoder/model.safetensors.index.json"] = []byte(index)
			files["scheduler/scheduler_config.json"] = []byte(scheduler)
		})
		m, err := weights.OpenModel(dir, weights.Options{})
		if err != nil {
			return
		}
		defer m.Close()
		_ = m.Summary().String()
		_ = weights.SaveDiffusers(context.Background(), filepath.Join(t.TempDir(), "out"), m, weights.SaveOptions{})
	})
}
