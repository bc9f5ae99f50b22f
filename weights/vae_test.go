package weights_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

// An autoencoder that comes alone, in all forms in which people have one.
func TestOpenVAE(t *testing.T) {
	for _, folder := range golden.Folders(t, "tiny-sd") {
		m := golden.Model(t, folder)
		dir := t.TempDir()
		single := filepath.Join(dir, "model.safetensors")
		require.NoError(t, weights.SaveSingle(ctx, single, m, weights.SaveOptions{}))
		diffusers := filepath.Join(dir, "folder")
		require.NoError(t, weights.SaveDiffusers(ctx, diffusers, m, weights.SaveOptions{}))

		// As vae-ft-mse-840000: no prefix, and leftovers of its training.
		f := golden.Load(t, single)
		var bare []weights.Entry
		for _, name := range f.Names() {
			if rest, ok := strings.CutPrefix(name, "first_stage_model."); ok {
				info, _ := f.Info(name)
				raw, err := f.Bytes(name)
				require.NoError(t, err)
				bare = append(bare, weights.Entry{Name: rest, DType: info.DType, Shape: info.Shape, Raw: raw})
			}
		}
		for _, name := range []string{"loss.logvar", "model_ema.decay"} {
			bare = append(bare, weights.Entry{Name: name, DType: weights.F32, Shape: []int{1}, Data: []float32{1}})
		}
		alone := filepath.Join(dir, "vae.safetensors")
		require.NoError(t, weights.Write(alone, bare, nil))

		for _, path := range []string{
			single, alone, diffusers, filepath.Join(diffusers, "vae"), filepath.Join(diffusers, "vae",
				"diffusion_pytorch_model.safetensors"),
		} {
			v, err := weights.OpenVAE(path)
			require.NoError(t, err, path)
			require.Nil(t, v.UNet)
			requireSameModel(t, m, v, weights.VAEPart)
			require.Contains(t, string(v.VAEConfig), "AutoencoderKL")
			require.Len(t, v.Summary().Parts, 1)
			require.NoError(t, v.Close())
		}

		other := openModel(t, single, weights.Options{})
		require.NoError(t, other.ReplaceVAE(alone))
		requireSameModel(t, m, other, parts...)
		require.Equal(t, []string{alone}, other.Summary().Parts[1].Files)
		require.ErrorContains(t, other.ReplaceVAE(filepath.Join(diffusers, "unet")), "want AutoencoderKL or VQModel")
		require.ErrorIs(t, other.ReplaceVAE(filepath.Join(dir, "nothing")), os.ErrNotExist)
		require.ErrorContains(t, other.ReplaceVAE(filepath.Join(diffusers, "text_encoder", "model.safetensors")),
			"no tensors first_stage_model.*")
		require.ErrorContains(t, other.ReplaceVAE(dir), "not the folder of an autoencoder")
	}
}
