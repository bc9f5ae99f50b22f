package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld/solver"
)

// TestDiskFull: work whose result has no room is refused before it begins.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.Mkdir(at("in"), 0o755))
	writePicture(t, at("in/x.png"), 64, 32)
	free := freeSpace
	t.Cleanup(func() { freeSpace = free })
	freeSpace = func(string) (int64, bool) { return 3 * 64 * 32 / 16, true }
	model := writeModel(t, nil)
	for _, args := range []string{
		"degrade --task denoise --in " + at("in/x.png") + " --out " + at("y.png"),
		"degrade --task denoise --in " + at("in") + " --out " + at("y"),
		"generate --steps 1 --width 64 --height 32 --out " + at("y.png") + " --model " + model,
		"restore --task denoise --method tv --in " + at("in/x.png") + " --out " + at("y.png"),
	} {
		require.Contains(t, failure(t, strings.Fields(args)...), "the disk has 384 bytes left, up to 6.0 KiB are needed")
		require.NoFileExists(t, at("y.png"))
	}
	// A sixteenth of the pixels has room.
	must(t, "degrade", "--task", "sr4", "--in", at("in/x.png"), "--out", at("y.png"))
	require.FileExists(t, at("y.png"))
}

// TestLimit: a method that nothing predicts is refused by what its first two steps took.
func TestLimit(t *testing.T) {
	second := progress{sure: true, news: true}
	early := second
	early.atMost = true
	for _, c := range []struct {
		bar         progress
		step        int
		spent, left time.Duration
		want        string
	}{
		{progress{}, 1, time.Minute, time.Hour, ""}, // the first one is slow
		{progress{}, 1, 11 * time.Minute, time.Hour, "it would take more than 11m0s, --max-time is 10m0s"},
		{second, 2, time.Minute, 8 * time.Minute, ""},
		{second, 2, time.Minute, 19 * time.Minute, "it would take up to 20m0s by its first steps, --max-time is 10m0s"},
		{early, 2, time.Minute, 19 * time.Minute, ""}, // it may converge
		{progress{sure: true}, 3, time.Minute, time.Hour, ""},
		{second, 9, time.Hour, 0, ""}, // nothing is left to do
	} {
		limit, got := 10*time.Minute, ""
		r := &restoration{restoreFlags: &restoreFlags{maxTime: &limit}, bar: &c.bar,
			start: time.Now().Add(-c.spent), refuse: func(err error) { got = err.Error() }}
		r.limit(solver.Progress{Step: c.step, Steps: 9, Report: solver.Report{AtMost: c.bar.atMost}}, c.left)
		require.Equal(t, c.want, strings.Split(got, ":")[0])
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.png")
	writePicture(t, in, 32, 32)
	require.Contains(t, failure(t, "restore", "--task", "denoise", "--method", "tv", "--max-time", "1ns", "--in", in,
		"--out", out), "it would take more than")
	require.NoFileExists(t, out)
}

// TestTrainStopMessage: where training is stopped before there is a checkpoint, it names none.
func TestTrainStopMessage(t *testing.T) {
	dir := t.TempDir()
	writePicture(t, filepath.Join(dir, "a.png"), 32, 32)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var log bytes.Buffer
	require.Equal(t, 130, run(ctx, []string{"train", "pixel", "--data", dir, "--val", dir, "--out",
		filepath.Join(t.TempDir(), "run"), "--size", "16", "--channels", "8", "--groups", "4", "--layers", "1",
		"--steps", "2", "--batch", "2"}, &bytes.Buffer{}, &log))
	require.True(t, strings.HasSuffix(log.String(),
		"psld: stopped before the first step was done: there is no checkpoint\n"), log.String())
	require.NotContains(t, log.String(), "goes on from it")
}
