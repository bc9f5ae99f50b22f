package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// TestThinHoles: restore takes the method for thin holes and says why; where flags are none of that one, the usual
// one.
func TestThinHoles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("y.png"), 32, 32)
	mask := picture.New(32, 32)
	for i := range 32 * 32 {
		if i%32 == 9 {
			copy(mask.Pix[3*i:], []float32{1, 1, 1})
		}
	}
	require.NoError(t, picture.Save(at("m.png"), mask))
	args := []string{"restore", "--task", "inpaint", "--in", at("y.png"), "--mask", at("m.png"), "--out", at("x.png")}
	_, stderr := must(t, append(args, "--iterations", "2")...)
	require.Contains(t, stderr, "method    pnp-admm")
	require.Contains(t, stderr, "because the holes are thin, at most 2 pixels across")
	_, stderr = must(t, append(args, "--gluing-every", "1", "--steps", "2")...)
	require.Contains(t, stderr, "method    psld")
	require.NotContains(t, stderr, "because")
	args[5], args[6] = "--mask-box", "8,8,12,12"
	_, stderr = must(t, append(args, "--steps", "2")...)
	require.Contains(t, stderr, "method    psld-patchmatch, 2 steps of psld, ")
	require.Contains(t, stderr, "because the holes are not thin, up to 12 pixels across")
	require.Contains(t, failure(t, append(args, "--eta", "0.5", "--rho", "1")...), "--method names another")
}

// TestStepsWithoutLoss: steps that copy patches have no loss to show or to draw, and no time before the first one.
func TestStepsWithoutLoss(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("y.png"), 48, 48)
	_, stderr := must(t, "restore", "--task", "inpaint", "--method", "patchmatch", "--in", at("y.png"), "--mask-box",
		"20,20,8,8", "--out", at("x.png"), "--curves", at("c.png"))
	require.Contains(t, stderr, "time      of method patchmatch is known by its first steps\n")
	require.Contains(t, stderr, "--curves: method patchmatch tells no numbers of its steps")
	require.Regexp(t, `step +1/`, stderr)
	require.NotContains(t, stderr, "loss")
	require.NoFileExists(t, at("c.png"))
}
