package solver

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/nn"
	"psld/psld/prior"
)

// change applies f to all elements of a parameter.
func change(t *testing.T, p *nn.Params, name string, f func(float32) float32) {
	t.Helper()
	for _, q := range p.All() {
		if q.Name == name {
			for i, v := range q.Value.T.Data {
				q.Value.T.Data[i] = f(v)
			}
			q.Value.Changed()
			return
		}
	}
	t.Fatal("no parameter " + name)
}

// TestNotFinite: a step that gives no numbers ends the run, and the error names the layer that was spoiled
// and the state before it, which can be read. Checkpointing changes nothing of that.
func TestNotFinite(t *testing.T) {
	nan, huge := float32(math.NaN()), float32(2e38)
	for name, c := range map[string]struct {
		vae   bool
		param string  // names
		value float32 // of all their elements
		want  string
	}{
		"convolution": {false, "up_blocks.1.resnets.0.conv1.weight", nan,
			"not a number after unet.up_blocks.1.resnets.0.conv1: its weight holds such a value"},
		"bias": {false, "mid_block.resnets.1.conv2.bias", nan,
			"not a number after unet.mid_block.resnets.1.conv2: its bias holds such a value"},
		"norm": {true, "decoder.up_blocks.0.resnets.0.norm2.weight", nan,
			"not a number after vae.decoder.up_blocks.0.resnets.0.norm2: its weight holds such a value"},
		"encoder": {true, "encoder.mid_block.attentions.0.to_k.weight", nan,
			"not a number after vae.encoder.mid_block.attentions.0.to_k: its weight holds such a value"},
		"overflow": {false, "down_blocks.0.resnets.0.conv2.weight", huge,
			"overflow after unet.down_blocks.0.resnets.0.conv2"},
		"overflow, VAE": {true, "decoder.mid_block.resnets.0.conv1.weight", huge,
			"overflow after vae.decoder.mid_block.resnets.0.conv1"},
		"residual": {true,
			"decoder.up_blocks.1.resnets.0.conv2.bias decoder.up_blocks.1.resnets.0.conv_shortcut.bias", 3e38,
			"infinity after vae.decoder.up_blocks.1.resnets.0.conv2"},
		"time": {false, "up_blocks.1.resnets.0.conv1.bias up_blocks.1.resnets.0.time_emb_proj.bias", 3e38,
			"infinity in AddChannels after unet.up_blocks.1.resnets.0.time_emb_proj"},
	} {
		t.Run(name, func(t *testing.T) {
			m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
			file := filepath.Join(t.TempDir(), "state")
			method := glued(4, 0.5, 1)
			o := Options{Keep: Keep{File: file}, MaxMemory: 1 << 50, Progress: func(p Progress) {
				if p.Step != 2 { // the weights go bad in the midst of the run
					return
				}
				params := m.UNet.Params
				if c.vae {
					params = m.VAE.Params
				}
				for name := range strings.FieldsSeq(c.param) {
					change(t, params, name, func(float32) float32 { return c.value })
				}
			}}
			_, err := Solve(context.Background(), m, p, method, o)
			want := strings.Replace(regexp.QuoteMeta(c.want), "overflow", "(infinity|not a number)",
				1) // what overflows depends on the kernels
			require.Regexp(t, `^step 3 of 4 \(t=251\): `+want+"; last good state: "+regexp.QuoteMeta(file)+"$",
				err.Error())
			st, err := ReadState(file)
			require.NoError(t, err)
			require.Equal(t, 2, st.Step)

			o.Keep, o.Progress = Keep{}, nil // from the first step on, and nowhere to keep it
			_, err = Solve(context.Background(), m, p, method, o)
			require.Regexp(t, `^step 1 of 4 \(t=751\): `+want+"$", err.Error())
			require.NoError(t, os.Remove(file))
			o.Keep.File = file
			_, err = Solve(context.Background(), m, p, method, o)
			require.Regexp(t, `^step 1 of 4 \(t=751\): `+want+"$", err.Error())
			require.NoFileExists(t, file)
		})
	}
}

// TestGradientNotFinite: a small factor before a large one gives small numbers forward, but large ones on the way
// back.
func TestGradientNotFinite(t *testing.T) {
	m, p := prior.RandomTiny(3), blurProblem(t, 16, 16)
	change(t, m.VAE.Params, "decoder.conv_norm_out.weight", func(float32) float32 { return 1e-30 })
	change(t, m.VAE.Params, "decoder.conv_out.weight", func(v float32) float32 { return v * 1e30 })
	_, err := Solve(context.Background(), m, p, glued(2, 0, 1e12), Options{})
	require.Regexp(t, `^step 1 of 2 \(t=501\): (infinity|not a number) in the gradient of vae.decoder.conv_out$`,
		err.Error())
}
