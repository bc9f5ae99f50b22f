package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTune(t *testing.T) {
	dir := t.TempDir()
	writePicture(t, filepath.Join(dir, "a.png"), 24, 20)
	out, model := filepath.Join(t.TempDir(), "presets.json"), writeModel(t, nil)
	args := []string{"tune", "--data", dir, "--n", "1", "--size", "16", "--tasks", "sr4", "--steps", "2,3",
		"--gluing-every", "1,2", "--fixed", "strength,omega,gamma", "--model", model, "--out", out}
	table, progress := must(t, args...)
	require.Contains(t, table, "| sr4 |")
	require.Contains(t, progress, "2 steps")
	require.Contains(t, progress, "0 results known")
	var file tuneFile
	read := func() {
		b, err := os.ReadFile(out)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &file))
	}
	read()
	require.Len(t, file.Results, 5, "the preset, and two numbers of steps with two gluings each")
	require.Equal(t, 16, file.Size)

	again, progress := must(t, args...)
	require.Equal(t, table, again)
	require.Contains(t, progress, "5 results known")
	require.NotContains(t, progress, "2 steps", "nothing is computed again")

	// What it wrote is a preset for restore.
	picture := filepath.Join(dir, "small.png")
	writePicture(t, picture, 8, 8)
	_, said := must(t, "restore", "--task", "sr4", "--in", picture, "--out", filepath.Join(t.TempDir(), "x.png"),
		"--model", model, "--preset", out)
	require.Contains(t, said, "psld, "+string(rune('0'+file.Tasks["sr4"].Steps))+" steps")

	plot := filepath.Join(t.TempDir(), "curve.png")
	_, progress = must(t, append(args, "--plot", plot)...)
	require.NotContains(t, progress, " dB, ", "all four points are known")
	st, err := os.Stat(plot)
	require.NoError(t, err)
	require.Positive(t, st.Size())
	require.FileExists(t, out)

	require.Contains(t, failure(t, append(args, "--seed", "5")...), "choose another file")
	require.NoError(t, os.WriteFile(out, []byte("{"), 0o644))
	require.Contains(t, failure(t, args...), "is not a file of psld tune")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no data":   {[]string{"tune", "--out", "x.json"}, "--data and --out are needed"},
		"steps":     {[]string{"tune", "--data", dir, "--out", "x.json", "--steps", "2000"}, "1 to 1000"},
		"fixed":     {[]string{"tune", "--data", dir, "--out", "x.json", "--fixed", "eta"}, `--fixed "eta"`},
		"inpaint":   {[]string{"tune", "--data", dir, "--out", "x.json", "--tasks", "inpaint"}, "inpaint-random"},
		"strength":  {[]string{"tune", "--data", dir, "--out", "x.json", "--strength", "0.5"}, "--strength is for --plot"},
		"out":       {[]string{"tune", "--data", dir, "--out", "x.txt"}, "--out"},
		"plot":      {[]string{"tune", "--data", dir, "--out", "x.json", "--plot", "x.gif"}, "--plot"},
		"pictures":  {[]string{"tune", "--data", dir + "x", "--out", "x.json"}, "--data"},
		"tolerance": {[]string{"tune", "--data", dir, "--out", "x.json", "--tolerance", "-1"}, "--tolerance"},
	} {
		require.Contains(t, failure(t, c.args...), c.want, name)
	}
	require.Contains(t, failure(t, "restore", "--task", "sr4", "--in", picture, "--out", "y.png",
		"--preset", "none.json"), "--preset")
}
