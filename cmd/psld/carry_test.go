package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

const cases = "../../psld/picture/testdata/"

// TestSixteenBitsKept: known pixels of a 16-bit picture come out of inpainting bit by bit, in grey.
func TestSixteenBitsKept(t *testing.T) {
	out := filepath.Join(t.TempDir(), "r.png")
	must(t, "restore", "--task", "inpaint", "--method", "tv", "--iterations", "2", "--in", cases+"g16.png", "--mask",
		cases+"mask.png", "--out", out)
	read := func(path string) image.Image {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		img, err := png.Decode(bytes.NewReader(b))
		require.NoError(t, err)
		return img
	}
	in, got, mask := read(cases+"g16.png").(*image.Gray16), read(out), read(cases+"mask.png")
	require.IsType(t, in, got)
	for y := range 64 {
		for x := range 96 {
			if r, _, _, _ := mask.At(x, y).RGBA(); r == 0 {
				require.Equal(t, in.At(x, y), got.At(x, y), "%d %d", x, y)
			}
		}
	}
}

// TestGreyThroughDegrade: a grey picture stays grey, with the noise of one channel; profiles are carried; of
// animations the first frame is taken, with a word.
func TestGreyThroughDegrade(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "y.png")
	must(t, "degrade", "--task", "denoise", "--sigma", "0.1", "--in", cases+"g16.png", "--out", out)
	p, err := picture.Load(out)
	require.NoError(t, err)
	require.True(t, p.Grey && p.Deep)
	for _, name := range []string{"icc.png", "icc.jpg"} {
		in, err := picture.Load(cases + name)
		require.NoError(t, err)
		must(t, "restore", "--task", "denoise", "--method", "tv", "--iterations", "2", "--in", cases+name, "--out", out)
		p, err := picture.Load(out)
		require.NoError(t, err)
		require.NotEmpty(t, in.Meta.ICC)
		require.Equal(t, in.Meta, p.Meta)
	}
	_, log := must(t, "degrade", "--task", "denoise", "--in", cases+"anim.webp", "--out", out)
	require.Contains(t, log, "it is animated: the first frame is taken")
}
