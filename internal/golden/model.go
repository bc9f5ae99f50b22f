package golden

import (
	"path/filepath"
	"testing"

	"psld/weights"
)

// Model opens the weights of a tiny-sd folder in whichever layout is there, at
// full precision, for the length of the test.
func Model(t testing.TB, folder string) *weights.Model {
	t.Helper()
	if m := OpenLayout(t, folder, "diffusers", ""); m != nil {
		return m
	}
	if m := OpenLayout(t, folder, "compvis", ""); m != nil {
		return m
	}
	t.Skipf("%s: the weights are not in this set", folder)
	return nil
}

// OpenLayout opens one layout of a tiny-sd folder: "diffusers" with the UNet
// variant "", "fp16" or "bf16", or "compvis". It is nil, and says so in the
// test's log, when that file is not in this set; a variant "" takes any that
// has the same values.
func OpenLayout(t testing.TB, folder, layout, variant string) *weights.Model {
	t.Helper()
	path := filepath.Join(folder, "diffusers")
	want := filepath.Join(path, "unet")
	opts := weights.Options{Variant: variant}
	if variant != "" {
		want = filepath.Join(want, "diffusion_pytorch_model."+variant+".safetensors")
	}
	if layout == "compvis" {
		path = filepath.Join(folder, "compvis", "model.safetensors")
		want = path
		var c struct {
			UNet struct {
				Heads int `json:"num_heads"`
			} `json:"unet_compvis_params"`
			Text struct {
				Heads int `json:"num_attention_heads"`
			} `json:"clip_config"`
		}
		JSON(t, filepath.Join(folder, "case.json"), &c)
		opts.Heads, opts.TextHeads = c.UNet.Heads, c.Text.Heads
	}
	if !exists(want) {
		t.Logf("skipped: %s is not in this set", want)
		return nil
	}
	m, err := weights.OpenModel(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}
