package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld"
)

func TestTune(t *testing.T) {
	dir := t.TempDir()
	writePicture(t, filepath.Join(dir, "a.png"), 24, 20)
	out, model := filepath.Join(t.TempDir(), "presets.yaml"), writeModel(t, nil)
	args := []string{"tune", "--data", dir, "--n", "1", "--size", "16", "--tasks", "sr4", "--methods", "psld,diffpir",
		"--candidates", "2", "--model", model, "--out", out}
	table, progress := must(t, args...)
	require.Contains(t, table, "| sr4 | psld |")
	require.Contains(t, progress, "0 results known")
	presets, err := psld.LoadPresets(out)
	require.NoError(t, err)
	require.Equal(t, 16, presets["embedded"].Size)
	require.Contains(t, presets["embedded"].Tasks["sr4"], "diffpir")

	again, progress := must(t, args...)
	require.Equal(t, table, again)
	require.Contains(t, progress, "6 results known")
	require.NotContains(t, progress, " pictures: ", "nothing is measured again")

	// What it wrote are presets for restore and eval, over which flags win.
	picture := filepath.Join(dir, "small.png")
	writePicture(t, picture, 8, 8)
	_, said := must(t, "restore", "--task", "sr4", "--method", "psld", "--in", picture, "--out",
		filepath.Join(t.TempDir(), "x.png"), "--model", model, "--presets", out, "--steps", "2")
	require.Contains(t, said, "psld, 2 steps")
	written := filepath.Join(t.TempDir(), "copy.yaml")
	all, _ := must(t, "methods", "--presets")
	require.NoError(t, os.WriteFile(written, []byte(strings.Replace(all, "size: 64", "size: 32", 1)), 0o600))
	must(t, "eval", "--data", dir, "--n", "1", "--size", "16", "--tasks", "sr4", "--methods", "psld", "--model", model,
		"--presets", written)

	plot := filepath.Join(t.TempDir(), "curve.png")
	must(t, append(args, "--plot", plot, "--steps", "2,3")...)
	require.FileExists(t, plot)

	require.Contains(t, failure(t, append(args, "--seed", "5")...), "choose another file")
	require.NoError(t, os.WriteFile(out, []byte("{"), 0o644))
	require.Contains(t, failure(t, args...), "is not a file of psld tune")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no data":    {[]string{"tune", "--out", "x.yaml"}, "--data and --out are needed"},
		"steps":      {[]string{"tune", "--data", dir, "--out", "x.yaml", "--steps", "20"}, "--steps is for --plot"},
		"vary":       {[]string{"tune", "--data", dir, "--out", "x.yaml", "--vary", "zeal"}, `--vary "zeal", want some of`},
		"inpaint":    {[]string{"tune", "--data", dir, "--out", "x.yaml", "--tasks", "inpaint"}, "inpaint-random"},
		"method":     {[]string{"tune", "--data", dir, "--out", "x.yaml", "--methods", "magic"}, `unknown method "magic"`},
		"metric":     {[]string{"tune", "--data", dir, "--out", "x.yaml", "--metric", "fid"}, "--metric"},
		"candidates": {[]string{"tune", "--data", dir, "--out", "x.yaml", "--candidates", "0"}, "--candidates 0"},
		"out":        {[]string{"tune", "--data", dir, "--out", "x.txt"}, "--out"},
		"plot":       {[]string{"tune", "--data", dir, "--out", "x.yaml", "--plot", "x.gif"}, "--plot"},
		"tolerance":  {[]string{"tune", "--data", dir, "--out", "x.yaml", "--tolerance", "-1"}, "--tolerance"},
	} {
		require.Contains(t, failure(t, c.args...), c.want, name)
	}
	require.Contains(t, failure(t, "restore", "--task", "sr4", "--in", picture, "--out", "y.png",
		"--presets", "none.yaml"), "--presets")
}
