package main

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAliases(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("in.png"), 24, 20)
	model := writeModel(t, nil)
	must(t, "restore", "--task", "denoise", "--in", at("in.png"), "--method", "psld", "--steps", "3", "--eta", "0.5",
		"--model", model, "--out", at("a.png"))
	must(t, "restore", "--task=denoise", "--input", at("in.png"), "--method", "psld", "-ddim_steps=3", "--ddim_eta",
		"0.5", "--ckpt", model, "--output", at("b.png"))
	require.Equal(t, sum(pixels(t, at("a.png"))), sum(pixels(t, at("b.png"))))

	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(&strings.Builder{})
	name, on := fs.String("task-config", "", ""), fs.Bool("guide-vae", false, "")
	rest, err := parse(fs, []string{"--task_config", "--a_b", "x_y", "--guide_vae=true"}, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"x_y"}, rest)
	require.Equal(t, "--a_b", *name) // values stay as they are
	require.True(t, *on)
	require.Contains(t, failure(t, "restore", "--ddim_stepps", "3"), "unknown flag --ddim_stepps")
	for other, own := range aliases { // each is a flag of some verb
		found := false
		for _, v := range verbs {
			fs, _ := v.flags()
			found = found || fs.Lookup(own) != nil
			require.Nil(t, fs.Lookup(other), other)
		}
		require.True(t, found, own)
	}
}

func TestQuiet(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("in.png"), 24, 20)
	args := []string{"restore", "--task", "denoise", "--in", at("in.png"), "--method", "diffpir", "--steps", "40",
		"--model", writeModel(t, nil), "--out", at("out.png")}
	stdout, stderr := must(t, append(args, "--quiet")...)
	require.Empty(t, stdout+stderr)
	stdout, stderr = must(t, append(args, "--quiet", "--json")...)
	require.Contains(t, stdout, `"steps_done":40`)
	require.Empty(t, stderr)
	_, stderr = must(t, args...)
	require.LessOrEqual(t, strings.Count(stderr, "\nstep "), 12)
	_, stderr = must(t, append(args, "--verbose")...)
	require.Equal(t, 40, strings.Count(stderr, "\nstep "))
	require.Contains(t, stderr, `settings  {"command":"restore"`)
	stdout, stderr = must(t, "degrade", "--task", "denoise", "--in", at("in.png"), "--out", at("y.jpg"), "--quiet")
	require.Empty(t, stdout+stderr)
	code, stdout, stderr := start(t, "restore", "--task", "denoise", "--in", at("none.png"), "--out", at("x.png"),
		"--quiet")
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Equal(t, 1, strings.Count(stderr, "\n"))
	require.Contains(t, failure(t, append(args, "--quiet", "--verbose")...), "contradict")
	code, stdout, stderr = start(t, "restore", "--task", "denoise", "--in", at("in.png"), "--in", at("y.jpg"), "--method",
		"tv", "--out", at("many"), "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Empty(t, stdout+stderr)
}
