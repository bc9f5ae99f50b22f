package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/nn"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/schedule"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/vae"
	"psld/weights"
)

// fakePhotos writes n pictures of random smooth colour.
func fakePhotos(t *testing.T, n, size int) string {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		x := tensor.New(1, size, size, 3)
		a, b := r.Float64()*3, r.Float64()*3
		for p := range size * size {
			for c := range 3 {
				x.Data[3*p+c] = float32(math.Sin(a*float64(p%size)/9+float64(c)) * math.Cos(b*float64(p/size)/9))
			}
		}
		require.NoError(t, picture.Save(filepath.Join(dir, fmt.Sprintf("%02d.png", i)),
			&picture.Picture{W: size, H: size, Pix: x.Data}))
	}
	return dir
}

// What is no photo, or is too small, is left out, and the others are used; none at all is an error.
func TestLoadPhotos(t *testing.T) {
	dir := fakePhotos(t, 3, 24)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "01b.png"), []byte("no picture"), 0o600))
	require.NoError(t, picture.Save(filepath.Join(dir, "03.png"), picture.New(24, 15)))
	photos, err := LoadPhotos(16, dir)
	require.NoError(t, err)
	require.Equal(t, 3, photos.Len())
	require.Len(t, photos.Left, 2)
	require.ErrorContains(t, photos.Left[0], "01b.png")
	require.ErrorContains(t, photos.Left[1], "03.png is 24x15, want at least 16")
	clean, err := LoadPhotos(16, fakePhotos(t, 3, 24))
	require.NoError(t, err)
	require.Equal(t, clean.Digest(), photos.Digest())

	_, err = LoadPhotos(25, dir)
	require.ErrorContains(t, err, "no photo of "+dir+" can be used")
	_, err = LoadPhotos(16)
	require.ErrorContains(t, err, "no folders")
	_, err = LoadPhotos(16, t.TempDir())
	require.Error(t, err)
}

func tinyVAE() vae.Config {
	return vae.Config{InChannels: 3, LatentChannels: 4, BlockOutChannels: []int{8, 16}, LayersPerBlock: 1,
		NormNumGroups: 4, ScalingFactor: 1}
}

func tinyUNet() unet.Config {
	return unet.Config{InChannels: 4, OutChannels: 4, BlockOutChannels: []int{16, 16}, LayersPerBlock: 1,
		DownBlockTypes: []string{unet.DownPlain, unet.DownCross}, UpBlockTypes: []string{unet.UpCross, unet.UpPlain},
		Heads: unet.Heads{2}, CrossAttentionDim: 8, NormNumGroups: 4, NormEps: 1e-5, FlipSinToCos: true}
}

func options(photos, out string, steps int) Options {
	return Options{Data: []string{photos}, Val: []string{photos}, Out: out, Size: 16, Steps: steps, Batch: 2, LR: 2e-3,
		Warmup: 2, EMA: 0.9, Seed: 5, LogEvery: 5, SaveEvery: 10}
}

// read returns every byte of a checkpoint.
func read(t *testing.T, path string) []byte {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// stopAt cancels a context when the trainer's log shows a step.
type stopAt struct {
	step   string
	cancel func()
}

func (s stopAt) Write(p []byte) (int, error) {
	if len(p) >= len(s.step) && string(p[:len(s.step)]) == s.step {
		s.cancel()
	}
	return len(p), nil
}

func TestVAETrainsAndResumesExactly(t *testing.T) {
	photos := fakePhotos(t, 6, 24)
	whole, parts := t.TempDir(), t.TempDir()
	o := VAEOptions{Options: options(photos, whole, 20), Config: tinyVAE(), KL: 1e-4, Edge: 0.3}
	require.NoError(t, VAE(context.Background(), o))

	ctx, cancel := context.WithCancel(context.Background())
	o.Out, o.Log = parts, stopAt{"step 5/", cancel}
	require.ErrorIs(t, VAE(ctx, o), context.Canceled)
	o.Resume, o.Log = true, nil
	require.NoError(t, VAE(context.Background(), o))
	require.Equal(t, read(t, filepath.Join(whole, "checkpoint.safetensors")),
		read(t, filepath.Join(parts, "checkpoint.safetensors")))
	require.Equal(t, read(t, filepath.Join(whole, "model.safetensors")),
		read(t, filepath.Join(parts, "model.safetensors")))
	require.FileExists(t, filepath.Join(whole, "sheet-000020.png"))
	require.FileExists(t, filepath.Join(whole, "log.csv"))
	require.FileExists(t, filepath.Join(whole, "curves.png"))
}

// endsAfter is a context that ends when it has been asked so often.
type endsAfter struct {
	context.Context
	left *atomic.Int64
}

func (c endsAfter) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestStopsInsideStep: a step looks at its context many times, one that ends in the middle changes nothing, and what
// goes on from there has the bits of a run without a break. The model of the stop can be read.
func TestStopsInsideStep(t *testing.T) {
	photos := fakePhotos(t, 4, 24)
	whole := t.TempDir()
	o := PixelOptions{Options: options(photos, whole, 4), Config: tinyPixel(), Low: 0.5}
	require.NoError(t, Pixel(t.Context(), o))
	left := new(atomic.Int64)
	left.Store(1 << 40)
	o.Out, o.Steps = t.TempDir(), 4
	require.NoError(t, Pixel(endsAfter{t.Context(), left}, o))
	perStep := (1<<40 - left.Load()) / 4
	require.Greater(t, perStep, int64(50))

	o.Out = t.TempDir()
	left.Store(2*perStep + perStep/2)
	require.ErrorIs(t, Pixel(endsAfter{t.Context(), left}, o), context.Canceled)
	f, err := weights.Open(filepath.Join(o.Out, "model.safetensors"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoFileExists(t, filepath.Join(o.Out, "sheet-000002.png"))
	o.Resume = true
	require.NoError(t, Pixel(t.Context(), o))
	require.Equal(t, read(t, filepath.Join(whole, "checkpoint.safetensors")),
		read(t, filepath.Join(o.Out, "checkpoint.safetensors")))
}

func TestUNetLearns(t *testing.T) {
	photos := fakePhotos(t, 6, 24)
	v := vae.New(tinyVAE())
	v.Params.Init(1)
	o := UNetOptions{Options: options(photos, t.TempDir(), 60), Config: tinyUNet(), VAE: v, Low: 0.5}
	o.SaveEvery, o.Batch = 60, 4
	require.NoError(t, UNet(context.Background(), o))
	f, err := weights.Open(filepath.Join(o.Out, "model.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, "16", f.Metadata()["size"])
	// A network that predicts nothing has loss 1.
	m := unet.New(tinyUNet())
	require.NoError(t, m.Params.Load(weights.NewSet(f)))
	val, err := LoadPhotos(16, photos)
	require.NoError(t, err)
	task := &unetTask{o, m, tensor.New(1, 1, 8), schedule.StableDiffusion(), val}
	terms, err := task.validate()
	require.NoError(t, err)
	require.Less(t, terms[0].value, 0.97)
}

func tinyPixel() unet.GuidedConfig {
	return unet.GuidedConfig{ImageSize: 16, NumChannels: 8, NumResBlocks: 1, ChannelMult: []int{1, 2}, ScaleShift: true,
		ResBlockUpDown: true, NormGroups: 4}
}

// TestPixelTrainsAndResumesExactly: in bfloat16, in two parts a batch, with restarts of the rate; the model denoises.
func TestPixelTrainsAndResumesExactly(t *testing.T) {
	photos := fakePhotos(t, 6, 24)
	whole, parts := t.TempDir(), t.TempDir()
	o := PixelOptions{Options: options(photos, whole, 80), Config: tinyPixel(), Low: 0.75}
	o.Device, o.Batch, o.Micro, o.Cycle, o.SaveEvery = cpu.BF16, 4, 2, 50, 40
	require.NoError(t, Pixel(context.Background(), o))
	ctx, cancel := context.WithCancel(context.Background())
	o.Out, o.Log = parts, stopAt{"step 45/", cancel}
	require.ErrorIs(t, Pixel(ctx, o), context.Canceled)
	o.Resume, o.Log = true, nil
	require.NoError(t, Pixel(context.Background(), o))
	for _, name := range []string{"checkpoint.safetensors", "model.safetensors"} {
		require.Equal(t, read(t, filepath.Join(whole, name)), read(t, filepath.Join(parts, name)))
	}
	m, err := prior.OpenPixel(filepath.Join(whole, "model.safetensors"), cpu.F32)
	require.NoError(t, err)
	require.Equal(t, tinyPixel(), m.UNet.GuidedConfig)
	val, err := LoadPhotos(16, photos)
	require.NoError(t, err)
	terms, err := (&pixelTask{o, m.UNet, prior.PixelSchedule(), val}).validate()
	require.NoError(t, err)
	require.Equal(t, "val PSNR 50", terms[2].name)
	// The noise itself, of 50/255, clipped to [-1,1], is 14.2 dB away from the picture, or a little more.
	require.Greater(t, terms[2].value, 16.0)

	o.Resume, o.Init, o.Out = false, filepath.Join(whole, "model.safetensors"), t.TempDir()
	o.Steps, o.LR = 1, 1e-12
	require.NoError(t, Pixel(context.Background(), o))
	again, err := prior.OpenPixel(filepath.Join(o.Out, "model.safetensors"), cpu.F32)
	require.NoError(t, err)
	for i, p := range again.UNet.Params.All() {
		dev := cpu.F32
		require.InDeltaSlice(t, dev.Host(m.UNet.Params.All()[i].Value.T), dev.Host(p.Value.T), 1e-6, p.Name)
	}
	o.Config.NumChannels = 12
	require.ErrorContains(t, Pixel(context.Background(), o), "does not fit the network")
	o.Micro = 3
	require.ErrorContains(t, Pixel(context.Background(), o), "4 pictures in 3 parts")
}

// TestMicroBatches: the gradient of a batch in parts is the mean of the parts' gradients.
func TestMicroBatches(t *testing.T) {
	photos, err := LoadPhotos(16, fakePhotos(t, 6, 24))
	require.NoError(t, err)
	o := options("", "", 1)
	gradients := func(batch, micro int, random *rand.Rand) [][]float32 {
		o.Batch, o.Micro = batch, micro
		task := &pixelTask{PixelOptions{o, tinyPixel(), 0.75}, unet.NewGuided(tinyPixel()), prior.PixelSchedule(), photos}
		task.params().Init(1)
		r := newTrainer(o, photos, task)
		_, err := r.gradients(t.Context(), random)
		require.NoError(t, err)
		var out [][]float32
		for _, p := range task.params().All() {
			out = append(out, slices.Clone(p.Value.Grad().Data))
		}
		return out
	}
	whole := gradients(4, 2, rand.New(rand.NewPCG(1, 2)))
	random := rand.New(rand.NewPCG(1, 2))
	first, second := gradients(2, 1, random), gradients(2, 1, random)
	for i, grad := range whole {
		for k, v := range grad {
			want := (first[i][k] + second[i][k]) / 2
			require.InDelta(t, want, v, 1e-6+1e-5*math.Abs(float64(want)))
		}
	}
}

func TestErrors(t *testing.T) {
	photos := fakePhotos(t, 2, 24)
	o := VAEOptions{Options: options(photos, t.TempDir(), 2), Config: tinyVAE()}
	missing := o
	missing.Data = []string{filepath.Join(photos, "nothing")}
	require.ErrorContains(t, VAE(context.Background(), missing), "photos: lstat ")
	small := o
	small.Size = 32
	require.ErrorContains(t, VAE(context.Background(), small), "want at least 32 pixels")
	resume := o
	resume.Resume = true
	require.ErrorContains(t, VAE(context.Background(), resume), "resume")
	bad := o
	bad.Val = []string{t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(bad.Val[0], "bad.png"), []byte("no picture"), 0o644))
	require.ErrorContains(t, VAE(context.Background(), bad), "bad.png")
}

// TestAdamW compares steps with the formula in float64.
func TestAdamW(t *testing.T) {
	p := nn.NewParams()
	v := p.New("w.weight", 2, 3)
	v.T.Data = []float32{1, -2, 3, 0.5, -0.1, 4}
	v.RequireGrad(true)
	a := NewAdamW(p.All(), cpu.F32)
	a.Clip = 0
	want, m, s := []float64{1, -2, 3, 0.5, -0.1, 4}, make([]float64, 6), make([]float64, 6)
	for step := 1; step <= 4; step++ {
		g := autograd.NewGraph(cpu.F32)
		g.Backward(g.SumSquares(v), nil) // gradient 2w
		g.Release()
		_, err := a.Step(0.1)
		require.NoError(t, err)
		for i, w := range want {
			grad := 2 * w
			m[i] = 0.9*m[i] + 0.1*grad
			s[i] = 0.99*s[i] + 0.01*grad*grad
			mh, sh := m[i]/(1-math.Pow(0.9, float64(step))), s[i]/(1-math.Pow(0.99, float64(step)))
			want[i] -= 0.1 * (mh/(math.Sqrt(sh)+1e-8) + 0.01*w)
		}
		for i, w := range want {
			require.InDelta(t, w, v.T.Data[i], 1e-5)
		}
	}
}

func TestStepRefusesBadGradient(t *testing.T) {
	p := nn.NewParams()
	v := p.New("w.weight", 1, 1)
	v.RequireGrad(true)
	a := NewAdamW(p.All(), cpu.F32)
	v.T.Data = []float32{float32(math.Inf(1))}
	g := autograd.NewGraph(cpu.F32)
	g.Backward(g.SumSquares(v), nil)
	g.Release()
	_, err := a.Step(0.1)
	require.ErrorContains(t, err, "not finite")
}

func TestRate(t *testing.T) {
	o := Options{LR: 1, Warmup: 10, Steps: 110}
	require.InDelta(t, 0.1, rate(o, 0), 1e-12)
	require.InDelta(t, 1, rate(o, 10), 1e-12)
	require.InDelta(t, 0.505, rate(o, 60), 1e-12)
	require.InDelta(t, 0.01, rate(o, 110), 1e-12)
	o.Cycle = 40 // two whole ones, and one of 30 steps
	require.InDelta(t, 1, rate(o, 50), 1e-12)
	require.InDelta(t, 0.505, rate(o, 65), 1e-12)
	require.InDelta(t, 0.505, rate(o, 100), 1e-12)
	require.Less(t, rate(o, 109), 0.02)
}

// TestDifferences checks the picture gradient on a ramp and its adjoint.
func TestDifferences(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	x := normal(r, 2, 4, 5, 3)
	g := autograd.NewGraph(cpu.F32)
	defer g.Release()
	in := g.Input(x)
	y := differences(g, in, new(differenceMaps))
	require.InDelta(t, x.Data[3]-x.Data[0], y.T.Data[0], 1e-6)        // right neighbour
	require.InDelta(t, x.Data[15]-x.Data[0], y.T.Data[2*4*5*3], 1e-6) // lower neighbour
	cot := normal(r, y.T.Shape...)
	g.Backward(y, cot)
	var a, b float64
	for i, v := range y.T.Data {
		a += float64(v) * float64(cot.Data[i])
	}
	for i, v := range in.Grad().Data {
		b += float64(v) * float64(x.Data[i])
	}
	require.InDelta(t, a, b, 1e-4*math.Abs(a))
}

func TestCropIsAnAverage(t *testing.T) {
	ph := &photo{w: 4, h: 4, pix: make([]uint8, 48)}
	for i := range ph.pix {
		ph.pix[i] = uint8(5 * i)
	}
	dst := make([]float32, 12)
	crop(dst, 2, ph, 4, 0, 0, 0)
	want := (float64(5*0)+5*3+5*12+5*15)/4/127.5 - 1
	require.InDelta(t, want, dst[0], 1e-6)
	flipped := make([]float32, 12)
	crop(flipped, 2, ph, 4, 0, 0, 1)
	require.InDelta(t, dst[3], flipped[0], 1e-6)
}

// A resumed run is that of the checkpoint, or it is refused; a run is not written over by accident; no step is logged
// twice, whatever a killed run had written.
func TestResumeOfAnotherRun(t *testing.T) {
	photos := fakePhotos(t, 3, 24)
	o := VAEOptions{Options: options(photos, t.TempDir(), 20), Config: tinyVAE(), KL: 1e-4, Edge: 0.3}
	o.Warmup, o.LogEvery = 1, 2
	ctx, cancel := context.WithCancel(t.Context())
	o.Log = stopAt{"step 12/", cancel}
	require.ErrorIs(t, VAE(ctx, o), context.Canceled)
	log, checkpoint := filepath.Join(o.Out, "log.csv"), filepath.Join(o.Out, "checkpoint.safetensors")
	o.Log = nil
	require.ErrorContains(t, VAE(t.Context(), o), "holds a run already (vae, step 12)")
	o.Resume = true
	for want, change := range map[string]func(*VAEOptions){
		"seed was 5, is 6":            func(o *VAEOptions) { o.Seed = 6 },
		"lr was 0.002, is 0.003":      func(o *VAEOptions) { o.LR = 0.003 },
		"batch was 2, is 3":           func(o *VAEOptions) { o.Batch = 3 },
		"steps was 20, is 30":         func(o *VAEOptions) { o.Steps = 30 },
		"size was 16, is 8":           func(o *VAEOptions) { o.Size = 8 },
		"kl was 0.0001, is 0":         func(o *VAEOptions) { o.KL = 0 },
		"data is another":             func(o *VAEOptions) { o.Data = []string{fakePhotos(t, 2, 24)} },
		"the network is another":      func(o *VAEOptions) { o.Config.NormNumGroups = 2 },
		"dtype was f32, is bf16":      func(o *VAEOptions) { o.Device = cpu.BF16 },
		"seed was 5, is 7; steps was": func(o *VAEOptions) { o.Seed, o.Steps = 7, 21 },
	} {
		other := o
		change(&other)
		require.ErrorContains(t, VAE(t.Context(), other), want)
	}
	pixel := PixelOptions{Options: o.Options, Config: tinyPixel(), Low: 0.5}
	require.ErrorContains(t, Pixel(t.Context(), pixel), "that of a vae, not of a pixel")

	whole := read(t, checkpoint)
	broken := slices.Clone(whole)
	broken[len(broken)-5] ^= 1
	require.NoError(t, os.WriteFile(checkpoint, broken, 0o600))
	require.ErrorContains(t, VAE(t.Context(), o), "checksum")
	require.NoError(t, os.WriteFile(checkpoint, whole, 0o600))

	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("14,loss,1\n16,lo") // of a run that was killed
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, VAE(t.Context(), o))
	seen := map[string]bool{}
	last := 0
	for line := range strings.Lines(string(read(t, log))) {
		row := strings.Split(line, ",")
		key := row[0] + row[1]
		require.False(t, seen[key], key)
		seen[key] = true
		step, err := strconv.Atoi(row[0])
		require.NoError(t, err)
		require.GreaterOrEqual(t, step, last)
		last = step
	}
	require.Len(t, seen, 10+2) // steps 2, 4, ... 20; validations at 10 and 20, none at the stop, which does not wait
	o.Resume, o.Overwrite, o.Steps = false, true, 2
	require.NoError(t, VAE(t.Context(), o))
	require.NotContains(t, string(read(t, log)), "\n12,")
}
