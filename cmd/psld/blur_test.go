package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
)

// TestBlurOfPicture: the deviation of a blur is estimated from the picture and told, and asked for where it is unsure.
func TestBlurOfPicture(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	p, err := picture.Load("flower.jpg")
	require.NoError(t, err)
	p, err = picture.CropCentre(p, 128, 128)
	require.NoError(t, err)
	require.NoError(t, picture.Save(at("x.png"), p))
	must(t, "degrade", "--task", "deblur-gaussian", "--kernel-std", "1.5", "--sigma", "2.55/255", "--in", at("x.png"),
		"--out", at("y.png"))
	restore := []string{"restore", "--task", "deblur-gaussian", "--method", "tv", "--iterations", "2",
		"--in", at("y.png"), "--out", at("r.png")}
	_, log := must(t, restore...)
	words := log[strings.Index(log, "task "):]
	require.Regexp(t, `Gaussian of standard deviation 1\.[3-6]\d pixels \(\+-\d+ %\), estimated from the picture`, words)
	require.Regexp(t, `noise     deviation 0\.0[12]\d* on \[-1,1\] \(\d\.?\d* of 255\), estimated`, words)
	_, log = must(t, append(restore, "--kernel-std", "1.5", "--sigma", "2.55/255", "--max-time", "1h")...)
	require.Contains(t, log, "of method tv is known by its first steps: --max-time refuses then, or ends it")
	require.Contains(t, log, "kernel std 1.5")
	require.Contains(t, log, "deviation 0.02 on [-1,1] (2.55 of 255), as given")

	sharp := append([]string{}, restore...)
	for i, v := range sharp {
		if v == at("y.png") {
			sharp[i] = at("small.png")
		}
	}
	whole, err := picture.Load("flower.jpg")
	require.NoError(t, err)
	whole, err = picture.Resize(whole, 128, 128, operator.CubicSmall)
	require.NoError(t, err)
	require.NoError(t, picture.Save(at("small.png"), whole))
	require.Regexp(t, `the picture looks sharp, or blurred by less than 0\.\d+ pixels, .* --kernel-std S tells it`,
		failure(t, sharp...))

	flat := picture.New(64, 64)
	require.NoError(t, picture.Save(at("y.png"), flat))
	require.Contains(t, failure(t, restore...), "--kernel-std S tells it")
	for flags, want := range map[string]string{
		"--kernel-std 2 --kernel k.png":            "--kernel-std has no meaning beside a mask or kernel that is given",
		"--kernel-std 0":                           "--kernel-std 0, want more than 0",
		"--sigma 12/256":                           "--sigma",
		"--motion-length 5":                        "--motion-length has no meaning for task deblur-gaussian",
		"--task deblur-motion --motion-angle 20":   "--motion-angle needs motion-length",
		"--task deblur-motion":                     "--kernel, a grey PNG of the camera's path, or --motion-length",
		"--task deblur-motion --motion-length 299": "too large for a 64x64 picture",
	} {
		require.Contains(t, failure(t, append(restore, strings.Fields(flags)...)...), want)
	}
}
