package main

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// The picture comes from standard input and goes to standard output, words go to the log.
func TestPipes(t *testing.T) {
	data, err := os.ReadFile("flower.jpg")
	require.NoError(t, err)
	defer func() { stdin = os.Stdin }()
	stdin = bytes.NewReader(data)
	out, log := must(t, "degrade", "--task", "sr4", "--in", "-", "--out", "-")
	_, err = png.Decode(strings.NewReader(out))
	require.NoError(t, err)
	require.Contains(t, log, "wrote -")
	stdin = strings.NewReader(out)
	picture, log := must(t, "restore", "--task", "sr4", "--method", "tv", "--in", "-", "--out", "-", "--iterations", "2")
	_, err = png.Decode(strings.NewReader(picture))
	require.NoError(t, err)
	require.Contains(t, log, "wrote -")
	stdin = strings.NewReader("no picture")
	require.Contains(t, failure(t, "degrade", "--task", "sr4", "--in", "-", "--out", "-"), "standard input: ")
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestStandardOutputFull(t *testing.T) {
	var log bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"version"}, full{}, &log))
	require.Equal(t, "psld: standard output: disk full\n", log.String())
	log.Reset()
	require.Equal(t, 1, run(t.Context(), []string{"degrade", "--task", "sr4", "--in", "flower.jpg", "--out", "-"}, full{},
		&log))
	require.Contains(t, log.String(), "disk full")
}

// A name as long as names may be leaves room for what stands beside the file for a while.
func TestLongNames(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, strings.Repeat("x", 251)+".png")
	must(t, "degrade", "--task", "sr4", "--in", "flower.jpg", "--out", out)
	require.LessOrEqual(t, len(filepath.Base(stateName(out))), 255)
	require.Equal(t, filepath.Join(dir, "x.png.state"), stateName(filepath.Join(dir, "x.png")))
	require.Empty(t, stateName("-"))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	missing := filepath.Join(dir, "missing")
	require.Contains(t, failure(t, "degrade", "--task", "sr4", "--in", "flower.jpg", "--out",
		filepath.Join(missing, "x.png")),
		"there is no folder "+missing)
}

// Where the result cannot be written after all, it is kept elsewhere and the error says where.
func TestKeptElsewhere(t *testing.T) {
	p, err := picture.Load("flower.jpg")
	require.NoError(t, err)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	c := &console{}
	err = c.savePicture(filepath.Join(temp, "gone", "x.png"), p)
	require.ErrorContains(t, err, "the result was kept as "+temp)
	_, kept, _ := strings.Cut(err.Error(), "kept as ")
	q, err := picture.Load(kept)
	require.NoError(t, err)
	require.Equal(t, p.Pix, q.Pix)
	require.ErrorContains(t, checkSpace("--out", filepath.Join(temp, "x.png"), 1<<60), "the disk has ")
}
