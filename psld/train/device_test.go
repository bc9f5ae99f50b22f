package train

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devicetest"
	"psld/unet"
	"psld/vae"
)

// frozenVAE is an autoencoder on dev.
func frozenVAE(dev tensor.Device) *vae.Model {
	v := vae.New(tinyVAE())
	v.Params.Init(1)
	v.Params.Freeze(dev)
	return v
}

// TestTrainingOnDevice: a training on a device with memory of its own writes the bytes that one on the processor does,
// stops, goes on, and leaves no memory behind.
func TestTrainingOnDevice(t *testing.T) {
	photos := fakePhotos(t, 6, 24)
	trainings := map[string]func(o Options) error{
		"vae": func(o Options) error {
			return VAE(t.Context(), VAEOptions{Options: o, Config: tinyVAE(), KL: 1e-4, Edge: 0.3})
		},
		"pixel": func(o Options) error {
			return Pixel(t.Context(), PixelOptions{Options: o, Config: tinyPixel(), Low: 0.5})
		},
		"unet": func(o Options) error {
			return UNet(t.Context(), UNetOptions{Options: o, Config: tinyUNet(), VAE: frozenVAE(o.Exact()), Low: 0.5})
		},
	}
	for name, train := range trainings {
		t.Run(name, func(t *testing.T) {
			o := options(photos, t.TempDir(), 6)
			o.SaveEvery, o.LogEvery = 3, 1
			require.NoError(t, train(o))
			want := o.Out
			dev := devicetest.Hidden(cpu.F32)
			o.Device, o.Out = dev, t.TempDir()
			o.Log = stopAt{"step 4/", func() { dev.FailAt(100) }}
			err := train(o)
			var none *tensor.OutOfMemory
			require.ErrorAs(t, err, &none)
			require.Zero(t, dev.Live())
			dev.FailAt(0)
			o.Resume, o.Log = true, nil
			require.NoError(t, train(o))
			require.Zero(t, dev.Live())
			for _, file := range []string{"checkpoint.safetensors", "model.safetensors", "sheet-000006.png"} {
				require.Equal(t, read(t, filepath.Join(want, file)), read(t, filepath.Join(o.Out, file)), file)
			}
		})
	}
}

// TestTrainingCopies: a step takes the batch and its noise up, twice at most, and single numbers down.
func TestTrainingCopies(t *testing.T) {
	dev := devicetest.Hidden(cpu.F32)
	o := Options{Size: 16, Batch: 4, Steps: 4, LR: 1e-3, EMA: 0.9, Device: dev}
	photos := noisePhotos(o.Size)
	for name, task := range map[string]task{
		"vae": &vaeTask{VAEOptions: VAEOptions{Options: o, KL: 1e-5, Edge: 0.3}, model: vae.New(tinyVAE())},
		"pixel": &pixelTask{PixelOptions{Options: o, Low: 0.75}, unet.NewGuided(tinyPixel()), prior.PixelSchedule(),
			photos},
		"unet": &unetTask{UNetOptions{Options: o, Low: 0.5, VAE: frozenVAE(dev)}, unet.New(tinyUNet()),
			tensor.New(1, 1, 8), prior.PixelSchedule(), photos},
	} {
		t.Run(name, func(t *testing.T) {
			task.params().Init(1)
			r := newTrainer(o, photos, task)
			require.NoError(t, r.step(t.Context()))
			dev.Copies()
			require.NoError(t, r.step(t.Context()))
			got := dev.Copies()
			batch := int64(4 * 4 * 3 * 16 * 16)
			require.EqualValues(t, 4, got.LargestDown, "%+v", got)
			require.Less(t, got.Down, int64(64), "%+v", got)
			require.Less(t, got.Up, 2*batch+batch/4, "%+v", got)
			r.opt.Release()
			for _, p := range task.params().All() {
				require.NotNil(t, p.Value.T.Data)
			}
		})
	}
}
