package prior

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/nn"
	"psld/psld/picture"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// TestGenerateAgainstDiffusers compares whole runs - start noise of a seed, guidance, sampler, image-to-image - with
// diffusers' pipelines on the same weights (testdata/README.md).
func TestGenerateAgainstDiffusers(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "golden", "tiny-sd")
	m, err := Open(context.Background(), filepath.Join(dir, "diffusers"), Options{})
	require.NoError(t, err)
	io := golden.Load(t, filepath.Join(dir, "io.safetensors"))
	ctx, s := golden.F32(t, io, "out.clip.last_hidden_state")
	n := s[1] * s[2]
	conds := Conditions{Prompt: tensor.From(ctx[:n], 1, s[1], s[2]), Negative: tensor.From(ctx[n:], 1, s[1], s[2])}
	img, s := golden.F32(t, io, "in.img")
	start := picture.New(s[3], s[2])
	copy(start.Pix, tensor.FromNCHW(img[:3*s[2]*s[3]], 1, 3, s[2], s[3]).Data)
	for i, v := range start.Pix {
		start.Pix[i] = min(max(v, -1), 1)
	}
	want := golden.Load(t, "testdata/generate.safetensors")
	seen := map[string]bool{}
	for _, name := range want.Names() {
		t.Run(name, func(t *testing.T) {
			part := strings.Split(name, ".") // the last number has a point of its own
			o := Generation{Sampler: part[0], Width: start.W, Height: start.H, Seed: 42}
			_, err := fmt.Sscan(part[1]+" "+part[2]+"."+part[3]+" "+part[4]+"."+part[5], &o.Steps, &o.Eta, &o.GuidanceScale)
			require.NoError(t, err)
			if part[6] == "init" {
				o.Init, o.Strength = start, 0.6
			}
			o = m.Defaults(o)
			r, err := m.paintingOf(o)
			require.NoError(t, err)
			z, err := r.sample(context.Background(), o, 0, conds)
			require.NoError(t, err)
			ref, s := golden.F32(t, want, name)
			golden.Check(t, name, z.Data, tensor.FromNCHW(ref, s[0], s[1], s[2], s[3]).Data, 2e-5)
			seen[o.Sampler] = true
		})
	}
	for _, name := range schedule.Samplers() {
		require.True(t, seen[name] || name == "euler_a_karras", "%s was not compared", name) // that one is not in diffusers
	}
}

// tinySD is the tiny random Stable Diffusion with text encoder and vocabulary.
func tinySD(t *testing.T) *LatentDiffusion {
	m, err := Open(context.Background(), filepath.Join("..", "..", "testdata", "golden", "tiny-sd", "diffusers"),
		Options{})
	require.NoError(t, err)
	return m
}

func pixels(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, picture.EncodePNG(&b, picture.FromImage(img)))
	return b.Bytes()
}

func TestGenerateSameBits(t *testing.T) {
	m := tinySD(t)
	o := Generation{Prompt: "a photo of a cat", Sampler: "euler_a", Steps: 2, Width: 128, Height: 128, Seed: 3, Count: 2}
	a, err := m.Generate(context.Background(), o)
	require.NoError(t, err)
	require.Len(t, a, 2)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	o.Seed, o.Count = 4, 1 // the second of the two
	b, err := m.Generate(context.Background(), o)
	require.NoError(t, err)
	require.Equal(t, pixels(t, a[1]), pixels(t, b[0]))
	require.NotEqual(t, pixels(t, a[0]), pixels(t, b[0]))
	o.Prompt = "a photo of a dog"
	c, err := m.Generate(context.Background(), o)
	require.NoError(t, err)
	require.NotEqual(t, pixels(t, c[0]), pixels(t, b[0]))
}

// TestGenerateTogether runs two models, and one twice, at the same time.
func TestGenerateTogether(t *testing.T) {
	models := []*LatentDiffusion{RandomTiny(1), RandomTiny(2), nil}
	models[2] = models[0]
	o := Generation{Steps: 3, Seed: 5}
	var alone, together [3][]image.Image
	for i, m := range models {
		var err error
		alone[i], err = m.Generate(context.Background(), o)
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for i, m := range models {
		wg.Go(func() { together[i], _ = m.Generate(context.Background(), o) })
	}
	wg.Wait()
	for i := range models {
		require.Equal(t, pixels(t, alone[i][0]), pixels(t, together[i][0]))
	}
	require.NotEqual(t, pixels(t, alone[0][0]), pixels(t, alone[1][0]))
}

func TestGenerateStops(t *testing.T) {
	m := RandomTiny(1)
	ctx, stop := context.WithCancel(context.Background())
	var previews []image.Image
	o := Generation{Steps: 10, Count: 3, Progress: func(p GenerationProgress) {
		img, err := p.Preview()
		require.NoError(t, err)
		previews = append(previews, img)
		if p.Picture == 2 && p.Step == 4 {
			stop()
		}
	}}
	out, err := m.Generate(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "step 4 of 10 of picture 2")
	require.Len(t, out, 2)
	require.Len(t, previews, 14)
	require.Equal(t, pixels(t, previews[13]), pixels(t, out[1]), "the best so far is what the last preview showed")
	require.Equal(t, pixels(t, previews[9]), pixels(t, m.mustGenerate(t, 10)))
	out, err = m.Generate(ctx, o) // before the first step
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, out)
}

// endsAfter is a context that ends when it has been asked so often.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestGenerateStopsInStep: a step looks at its context many times, and one that ends in the middle leaves the picture
// of the step before.
func TestGenerateStopsInStep(t *testing.T) {
	m := RandomTiny(1)
	const many = 1 << 30
	count := &endsAfter{t.Context(), many}
	var last image.Image
	o := Generation{Steps: 4, Progress: func(p GenerationProgress) {
		if p.Step < 3 {
			last, _ = p.Preview()
		}
	}}
	_, err := m.Generate(count, o)
	require.NoError(t, err)
	perStep := (many - count.left) / 4
	require.Greater(t, perStep, 20)
	out, err := m.Generate(&endsAfter{t.Context(), 2*perStep + perStep/2}, o)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "step 2 of 4")
	require.Equal(t, pixels(t, last), pixels(t, out[0]))
}

// TestHalvings: a latent whose decoding would take long is decoded from the means of its squares.
func TestHalvings(t *testing.T) {
	m := RandomTiny(1)
	side := 32 * m.VAE.Factor()
	eps, _, decode := m.MACs(side, side)
	for n, seconds := range []float64{0.9, 3.9} {
		require.Equal(t, n, Halvings(m, side, side, seconds*float64(eps)/float64(decode)))
	}
	require.Equal(t, 1, Halvings(m, side, side, 1e9), "not below 16 squares of a latent")
	require.Zero(t, Halvings(m, side, side, 0))
	require.Zero(t, Halvings(nil, side, side, 10))
	g := autograd.NoGrad(m.Device())
	defer g.Release()
	z := tensor.New(1, 2, 4, 1)
	for i := range z.Data {
		z.Data[i] = float32(i)
	}
	require.Equal(t, []float32{2.5, 2.5, 4.5, 4.5, 2.5, 2.5, 4.5, 4.5},
		DecodeCoarse(g, identity{}, g.Const(z), 1).Host())
	require.Equal(t, z.Data, DecodeCoarse(g, identity{}, g.Const(z), 0).Host())
	img, err := m.coarseImage(tensor.New(m.Shape(side, side)...), 1)
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, side, side), img.Bounds())
}

func (p *LatentDiffusion) mustGenerate(t *testing.T, steps int) image.Image {
	out, err := p.Generate(context.Background(), Generation{Steps: steps})
	require.NoError(t, err)
	return out[0]
}

func TestGenerateErrors(t *testing.T) {
	m := RandomTiny(1)
	for want, o := range map[string]Generation{
		"size 17x16, want multiples of 4": {Width: 17},
		"size 16x-4":                      {Height: -4},
		"-1 pictures":                     {Count: -1},
		"guidance -1":                     {GuidanceScale: -1},
		`sampler "plms"`:                  {Sampler: "plms"},
		"5000 steps":                      {Steps: 5000},
		`random generator "dice"`:         {RNG: "dice"},
		"tiles of 50 pixels":              {Tile: 50},
		"strength: 2":                     {Init: image.NewGray(image.Rect(0, 0, 16, 16)), Strength: 2},
	} {
		_, err := m.Generate(context.Background(), o)
		require.ErrorContains(t, err, want)
	}
	flowers, err := Default()
	require.NoError(t, err)
	_, err = flowers.Generate(context.Background(), Generation{Prompt: "a cat", Steps: 1})
	require.ErrorContains(t, err, "knows no prompts")
	sd := tinySD(t)
	sd.Tokenizer = nil
	_, err = sd.Generate(context.Background(), Generation{Prompt: "a cat", Width: 128, Height: 128, Steps: 1})
	require.ErrorContains(t, err, "vocabulary")
}

// TestPrompts: long prompts are cut with a warning, or go on in a further chunk.
func TestPrompts(t *testing.T) {
	m := tinySD(t)
	long := strings.Repeat("a photo of a cat ", 30)
	c, warnings, err := m.Prompts(long, "", false)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "too long")
	require.Equal(t, m.Empty.Shape, c.Prompt.Shape)
	require.Equal(t, m.Empty.Data, c.Negative.Data, "the empty negative prompt is the empty prompt")
	c, warnings, err = m.Prompts("(red:1.3) "+long, "blue", true)
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Greater(t, c.Prompt.Dim(1), m.Empty.Dim(1))
	require.Equal(t, c.Prompt.Shape, c.Negative.Shape)
	c, _, err = m.Prompts("", "", false)
	require.NoError(t, err)
	require.Same(t, c.Prompt, c.Negative)
}

// TestOpenPrecision: bfloat16 products, errors of a wrong precision, and the embedded model through Open.
func TestOpenPrecision(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join("..", "..", "testdata", "golden", "tiny-sd", "diffusers")
	_, err := Open(ctx, dir, Options{Precision: "f8"})
	require.ErrorContains(t, err, `precision "f8"`)
	a := tinySD(t)
	b, err := Open(ctx, dir, Options{Precision: "bf16"})
	require.NoError(t, err)
	require.Less(t, golden.RelL2(b.Empty.Data, a.Empty.Data), 0.03)
	require.NotEqual(t, a.Empty.Data, b.Empty.Data)
	m, err := Open(ctx, "", Options{})
	require.NoError(t, err)
	d, err := Default()
	require.NoError(t, err)
	require.Same(t, d.UNet, m.UNet)
	_, err = Open(ctx, "", Options{Vocabulary: dir})
	require.ErrorContains(t, err, "no prompts")
}

// TestOpenReportsAll: what is wrong with any part is in one error.
func TestOpenReportsAll(t *testing.T) {
	src := filepath.Join("..", "..", "testdata", "golden", "tiny-sd", "diffusers")
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(src)))
	edit := func(file string, change func(e *weights.Entry) bool) {
		path := filepath.Join(dir, file)
		f, err := weights.Open(path)
		require.NoError(t, err)
		var entries []weights.Entry
		for _, name := range f.Names() {
			info, _ := f.Info(name)
			data, err := f.Float32(name)
			require.NoError(t, err)
			e := weights.Entry{Name: name, DType: weights.F32, Shape: info.Shape, Data: data}
			if info.DType == weights.I64 {
				e.DType = weights.I64
			}
			if change(&e) {
				entries = append(entries, e)
			}
		}
		require.NoError(t, f.Close())
		require.NoError(t, weights.Write(path, entries, nil))
	}
	edit("unet/diffusion_pytorch_model.fp16.safetensors", func(e *weights.Entry) bool {
		if e.Name == "conv_in.bias" {
			e.Name = "conv_in.biases"
		}
		return e.Name != "conv_out.weight"
	})
	edit("vae/diffusion_pytorch_model.safetensors", func(e *weights.Entry) bool {
		if e.Name == "quant_conv.bias" {
			e.Shape, e.Data = []int{1}, e.Data[:1]
		}
		return true
	})
	_, err := Open(context.Background(), dir, Options{})
	for _, want := range []string{"conv_in.bias [", "conv_in.biases", "conv_out.weight [", "quant_conv.bias [1]"} {
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, os.CopyFS(filepath.Join(dir, "again"), os.DirFS(src)))
	dir = filepath.Join(dir, "again")
	nan := float32(0)
	nan /= nan
	edit("vae/diffusion_pytorch_model.safetensors", func(e *weights.Entry) bool {
		if e.Name == "quant_conv.bias" || e.Name == "decoder.conv_in.weight" {
			e.Data[1] = nan
		}
		return true
	})
	edit("text_encoder/model.fp16.safetensors", func(e *weights.Entry) bool {
		if e.Name == "text_model.final_layer_norm.weight" {
			e.Data[0] = nan
		}
		return true
	})
	_, err = Open(context.Background(), dir, Options{})
	for _, want := range []string{"quant_conv.bias", "decoder.conv_in.weight", "text_model.final_layer_norm.weight",
		"NaN"} {
		require.ErrorContains(t, err, want)
	}
}

// TestOpenLDM opens an unconditional model with a codebook and samples with it.
func TestOpenLDM(t *testing.T) {
	ucfg, vcfg := unet.LDMVQ4(), vae.VQF4()
	ucfg.BlockOutChannels, ucfg.Heads, ucfg.NormNumGroups = []int{32, 32, 64, 64}, unet.Heads{1, 1, 2, 2}, 8
	vcfg.BlockOutChannels, vcfg.NumEmbeddings, vcfg.NormNumGroups = []int{16, 16, 32}, 64, 8
	u, v := unet.New(ucfg), vae.New(vcfg)
	u.Params.Init(1)
	v.Params.Init(2)
	dir := t.TempDir()
	for part, params := range map[string]*nn.Params{"unet": u.Params, "vqvae": v.Params} {
		var entries []weights.Entry
		for _, p := range params.All() {
			entries = append(entries, weights.Entry{Name: p.Name, DType: weights.F32, Shape: p.Value.T.Shape,
				Data: p.Value.T.Data})
		}
		require.NoError(t, os.Mkdir(filepath.Join(dir, part), 0o755))
		require.NoError(t, weights.Write(filepath.Join(dir, part, "diffusion_pytorch_model.safetensors"), entries, nil))
	}
	file := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	file("model_index.json", `{"_class_name": "LDMPipeline"}`)
	file("unet/config.json", `{"_class_name": "UNet2DModel", "in_channels": 3, "out_channels": 3,
		"block_out_channels": [32, 32, 64, 64], "attention_head_dim": 32, "norm_num_groups": 8, "layers_per_block": 2,
		"down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
		"up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]}`)
	file("vqvae/config.json", `{"_class_name": "VQModel", "in_channels": 3, "out_channels": 3, "latent_channels": 3,
		"block_out_channels": [16, 16, 32], "layers_per_block": 2, "norm_num_groups": 8, "num_vq_embeddings": 64,
		"down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
		"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}`)
	file("scheduler/scheduler_config.json",
		`{"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}`)
	m, err := Open(context.Background(), dir, Options{})
	require.NoError(t, err)
	require.Nil(t, m.Empty)
	require.Equal(t, ucfg, m.UNet.Config)
	require.InDelta(t, 1-0.0015, m.Noise.AlphasCumprod[0], 1e-6)

	same := &LatentDiffusion{VAE: v, UNet: u, Noise: schedule.ScaledLinear(0.0015, 0.0195, 1000)}
	o := Generation{Steps: 2, Width: 64, Height: 32, GuidanceScale: 3}
	a, err := m.Generate(context.Background(), o)
	require.NoError(t, err)
	b, err := same.Generate(context.Background(), o)
	require.NoError(t, err)
	require.Equal(t, pixels(t, b[0]), pixels(t, a[0]))
	_, err = m.Generate(context.Background(), Generation{Prompt: "a face"})
	require.ErrorContains(t, err, "knows no prompts")
}
