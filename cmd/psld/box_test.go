package main

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// A rectangle by numbers means the same to degrade and restore, and needs no picture of a mask.
func TestMaskBox(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	x := picture.New(24, 16)
	for i := range x.Pix {
		x.Pix[i] = float32(i%11)/11 - 0.4
	}
	require.NoError(t, picture.Save(at("x.png"), x))
	out, _ := must(t, "degrade", "--task", "inpaint-box", "--mask-box", "5,4,8,6", "--sigma", "0", "--in", at("x.png"),
		"--out", at("y.png"), "--mask-out", at("m.png"))
	require.Contains(t, out, "48 of 384 pixels missing")
	y, err := picture.Load(at("y.png"))
	require.NoError(t, err)
	for i := range y.W * y.H {
		inside := i%24 >= 5 && i%24 < 13 && i/24 >= 4 && i/24 < 10
		require.Equal(t, inside, y.Pix[3*i] == -1 && y.Pix[3*i+1] == -1, i)
	}

	restore := func(out string, flags ...string) {
		must(t, append([]string{"restore", "--method", "tv", "--in", at("y.png"), "--out", at(out)}, flags...)...)
	}
	pixels := func(name string) []float32 {
		p, err := picture.Load(at(name))
		require.NoError(t, err)
		return p.Pix
	}
	restore("mask.png", "--task", "inpaint-box", "--mask", at("m.png"))
	restore("box.png", "--task", "inpaint-box", "--mask-box", "5,4,8,6")
	require.Equal(t, pixels("mask.png"), pixels("box.png"))
	restore("like.png", "--like", at("box.png"))
	require.Equal(t, pixels("box.png"), pixels("like.png"))
	restore("a.png", "--task", "inpaint-box", "--mask-box", "5,4,8,6", "--sheet", at("hole.png"))
	must(t, "restore", "--method", "tv", "--task", "inpaint-box", "--in", at("x.png"), "--mask-box", "5,4,8,6", "--out",
		at("a.png"), "--sheet", at("photo.png"))
	two, err := picture.Load(at("hole.png"))
	require.NoError(t, err)
	three, err := picture.Load(at("photo.png")) // what lies under the box is shown beside the hole, not in its place
	require.NoError(t, err)
	require.Greater(t, three.W, two.W)
	for row := range two.H {
		from, end := 3*(row*two.W+1), 3*(row+1)*two.W // behind the hairline of the panel before
		require.True(t, slices.Equal(two.Pix[from:end], three.Pix[3*(row+1)*three.W-end+from:3*(row+1)*three.W]), row)
	}

	for want, flags := range map[string][]string{
		"--mask-box: want x,y,width,height in pixels": {"--mask-box", "5,4,8"},
		"8x6 pixels at 20,4, want one inside of":      {"--mask-box", "20,4,8,6"},
		"no meaning beside --mask":                    {"--mask-box", "5,4,8,6", "--mask", at("m.png")},
		"--invert-mask needs --mask":                  {"--mask-box", "5,4,8,6", "--invert-mask"},
	} {
		require.Contains(t, failure(t, append([]string{"restore", "--task", "inpaint", "--in", at("y.png"), "--out",
			at("z.png")}, flags...)...), want)
	}
	require.Contains(t, failure(t, "degrade", "--task", "inpaint-box", "--mask-box", "1,1,2,2", "--box", "0.5", "--in",
		at("x.png"), "--out", at("z.png")), "--box has no meaning beside a mask")
	require.Contains(t, failure(t, "restore", "--task", "sr4", "--mask-box", "1,1,2,2", "--in", at("y.png"), "--out",
		at("z.png")), "--mask-box has no meaning for task sr4")
}
