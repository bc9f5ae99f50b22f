package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
)

// tinyCounts are the parameters of the parts of the tiny model by the shapes of golden data, position_ids left out.
func tinyCounts(t *testing.T) map[string]int {
	t.Helper()
	var mapping []struct {
		Folder    string `json:"diffusers_folder"`
		Diffusers string
		Shape     []int
	}
	golden.JSON(t, filepath.Join(golden.Dir(t), "tiny-sd", "mapping.json"), &mapping)
	counts := map[string]int{}
	for _, m := range mapping {
		n := 1
		for _, d := range m.Shape {
			n *= d
		}
		if m.Folder != "" && filepath.Ext(m.Diffusers) != ".position_ids" {
			counts[filepath.Clean(m.Folder)] += n
		}
	}
	return counts
}

func TestInfoModel(t *testing.T) {
	sd := tinySD(t)
	single := filepath.Join(t.TempDir(), "single.safetensors")
	must(t, "convert", "--in", sd, "--out", single, "--dtype", "f32")
	hubCache(t, sd)
	for _, c := range []struct{ model, layout, dtype string }{
		{sd, "diffusers folder", "F16"},
		{"org/name", "diffusers folder", "F16"},
		{"org/name@main", "diffusers folder", "F16"},
		{single, "single file (CompVis)", "F32"},
	} {
		out, _ := must(t, "info", "--model", c.model, "--verify")
		require.Regexp(t, `(?m)^model +\S+: `+regexp.QuoteMeta(c.layout)+"$", out)
		for part, n := range tinyCounts(t) {
			require.Regexp(t, fmt.Sprintf(`(?m)^  %s +%d parameters, \d+ tensors \(\d+ in %s\), [0-9.]+ MB in .*\.safetensors$`,
				part, n, c.dtype), out)
		}
		require.Regexp(t, "(?m)^  names +all there, all shapes right$", out)
		require.Regexp(t, "(?m)^  values +all finite$", out)
		for _, precision := range []string{"f32", "bf16"} {
			require.Regexp(t, `(?m)^  `+precision+
				` +about [0-9.]+ GiB to generate 512x512 pixels.*, at least [0-9.]+ GiB to restore them`, out)
		}
	}
	out, _ := must(t, "info", "--model", sd)
	require.NotContains(t, out, "values")

	// What psld train writes, and the embedded model.
	trained := writeModel(t, nil)
	for _, args := range [][]string{{"info", "--model", trained}, {"info"}} {
		out, _ := must(t, args...)
		require.Regexp(t, `(?m)^  unet +\d+ parameters`, out)
		require.NotContains(t, out, "all finite")
		out, _ = must(t, append(args, "--verify")...)
		require.Regexp(t, "(?m)^  values +all finite$", out)
	}
}

func TestInfoErrors(t *testing.T) {
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	sd, broken, nan, cut := tinySD(t), brokenSD(t), nanSD(t), copySD(t)
	part := filepath.Join(cut, "vae", "diffusion_pytorch_model.safetensors")
	whole, err := os.ReadFile(part)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(part, whole[:len(whole)-1], 0o644))
	trained := writeModel(t, nil)
	require.NoError(t, os.WriteFile(filepath.Join(trained, "unet.safetensors"), whole, 0o644))
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"broken":         {[]string{"--model", broken}, brokenTensors},
		"broken, verify": {[]string{"--model", broken, "--verify"}, brokenTensors},
		"NaN":            {[]string{"--model", nan, "--verify"}, nanTensors},
		"cut":            {[]string{"--model", cut}, []string{part, "truncated"}},
		"other UNet":     {[]string{"--model", trained}, []string{trained}},
		"no model":       {[]string{"--model", filepath.Join(sd, "none")}, []string{"--model: ", "no such file"}},
		"not in cache":   {[]string{"--model", "org/name"}, []string{"models--org--name", "hf download org/name"}},
		"dtype":          {[]string{"--model", sd, "--dtype", "f8"}, []string{`--dtype: precision "f8"`}},
		"variant":        {[]string{"--model", sd, "--variant", "f8"}, []string{`--variant "f8"`}},
		"vae":            {[]string{"--model", sd, "--vae", filepath.Join(sd, "none")}, []string{"--vae: "}},
		"vae of another": {[]string{"--model", sd, "--vae", filepath.Join(sd, "unet")}, []string{filepath.Join(sd, "unet")}},
	} {
		t.Run(name, func(t *testing.T) {
			message := failure(t, append([]string{"info"}, c.args...)...)
			for _, want := range c.want {
				require.Contains(t, message, want)
			}
		})
	}
	must(t, "info", "--model", nan) // without --verify no value is read
}
