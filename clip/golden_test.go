package clip_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/clip"
	"psld/internal/golden"
	"psld/tensor/cpu"
	"psld/weights"
)

const limit = 2e-5 // of the reference's README

// genCase is the part of a case.json that describes the text encoder.
type genCase struct {
	CLIP struct {
		VocabSize        int `json:"vocab_size"`
		MaxPositions     int `json:"max_position_embeddings"`
		HiddenSize       int `json:"hidden_size"`
		Layers           int `json:"num_hidden_layers"`
		Heads            int `json:"num_attention_heads"`
		IntermediateSize int `json:"intermediate_size"`
	} `json:"clip_config"`
}

func (c genCase) config() clip.Config {
	cfg := clip.SD15()
	cfg.VocabSize, cfg.MaxPositions, cfg.HiddenSize = c.CLIP.VocabSize, c.CLIP.MaxPositions, c.CLIP.HiddenSize
	cfg.Layers, cfg.Heads, cfg.IntermediateSize = c.CLIP.Layers, c.CLIP.Heads, c.CLIP.IntermediateSize
	return cfg
}

// tokenIDs reads in.input_ids as rows.
func tokenIDs(t *testing.T, f *weights.File) [][]int {
	info, _ := f.Info("in.input_ids")
	flat, err := f.Int64("in.input_ids")
	require.NoError(t, err)
	ids := make([][]int, info.Shape[0])
	for i, id := range flat {
		row := i / info.Shape[1]
		ids[row] = append(ids[row], int(id))
	}
	return ids
}

// compare runs m over the case's token ids and compares the result and all
// recorded hidden states.
func compare(t *testing.T, m *clip.Model, f *weights.File) {
	const prefix = "out.clip."
	seen := map[string]bool{}
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	check := func(name string, v *autograd.Value) {
		if !f.Has(prefix + name) {
			return
		}
		seen[prefix+name] = true
		want, shape := golden.F32(t, f, prefix+name)
		require.Equal(t, shape, v.T.Shape, name)
		golden.Check(t, name, v.T.Data, want, limit)
	}
	g.OnTrace = check
	out, err := m.Forward(g, tokenIDs(t, f))
	require.NoError(t, err)
	check("last_hidden_state", out)
	for _, name := range f.Names() {
		if strings.HasPrefix(name, prefix) {
			require.True(t, seen[name], "%s was not compared", name)
		}
	}
}

func TestGoldenTiny(t *testing.T) {
	for _, dir := range golden.Folders(t, "tiny-sd") {
		for _, layout := range []string{"diffusers", "compvis"} {
			t.Run(filepath.Base(dir)+"/"+layout, func(t *testing.T) {
				var c genCase
				golden.JSON(t, filepath.Join(dir, "case.json"), &c)
				path := filepath.Join(dir, layout)
				if layout == "compvis" {
					path = filepath.Join(path, "model.safetensors")
				}
				if _, err := os.Stat(path); err != nil {
					t.Skipf("%s is not in this set", path)
				}
				model, err := weights.OpenModel(path, weights.Options{TextHeads: c.CLIP.Heads})
				require.NoError(t, err)
				defer model.Close()
				cfg, err := clip.ParseConfig(model.TextConfig)
				require.NoError(t, err)
				require.Equal(t, c.config(), cfg)
				m := clip.New(cfg)
				require.NoError(t, weights.Check(model.TextEncoder, m.Params.Shapes()))
				require.NoError(t, m.Params.Load(model.TextEncoder))
				compare(t, m, golden.Load(t, filepath.Join(dir, "io.safetensors")))
			})
		}
	}
}

func TestGoldenGenerated(t *testing.T) {
	dirs := golden.Folders(t, "gen-tiny-1244")
	if full := golden.Folders(t, "gen-full-sd15"); os.Getenv("PSLD_FULL") == "1" {
		dirs = append(dirs, full...)
	} else if len(full) > 0 {
		t.Logf("%v left out: set PSLD_FULL=1 to run it", full)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c genCase
			golden.JSON(t, filepath.Join(dir, "case.json"), &c)
			m := clip.New(c.config())
			require.NoError(t, m.Params.Load(golden.Gen(weights.TextPart, weights.SD15)))
			compare(t, m, golden.Load(t, filepath.Join(dir, "io.safetensors")))
		})
	}
}
