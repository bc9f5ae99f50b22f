package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// folderOf has two pictures, one of them in a subfolder, and a file that is none.
func folderOf(t *testing.T) (dir string) {
	dir = t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	writePicture(t, filepath.Join(dir, "a.png"), 24, 20)
	writePicture(t, filepath.Join(dir, "a.jpg"), 28, 16)
	writePicture(t, filepath.Join(dir, "sub", "b.png"), 16, 16)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.png"), []byte("no picture"), 0o644))
	return dir
}

// TestDegradeFolder: each picture is damaged as it would be alone with its seed.
func TestDegradeFolder(t *testing.T) {
	dir, out := folderOf(t), t.TempDir()
	at := func(name string) string { return filepath.Join(out, name) }
	stdout, stderr := must(t, "degrade", "--task", "inpaint-random", "--in", dir, "--out", at("y"), "--mask-out", at("m"),
		"--seed", "7")
	require.Contains(t, stdout, "wrote 3 of 4 pictures")
	require.Contains(t, stderr, "left out: ")
	require.Contains(t, stderr, "bad.png")
	must(t, "degrade", "--task", "inpaint-random", "--in", filepath.Join(dir, "sub", "b.png"), "--out", at("one.png"),
		"--mask-out", at("mask.png"), "--seed", "10") // the fourth
	for _, pair := range [][2]string{{"one.png", "y/sub/b.png"}, {"mask.png", "m/sub/b.png"}} {
		a, err := picture.Load(at(pair[0]))
		require.NoError(t, err)
		b, err := picture.Load(at(pair[1]))
		require.NoError(t, err)
		require.Equal(t, a.Pix, b.Pix)
	}
	for name, w := range map[string]int{"y/a.png": 28, "y/a.png.png": 24} { // a.jpg, a.png
		p, err := picture.Load(at(name))
		require.NoError(t, err)
		require.Equal(t, w, p.W)
	}
}

func TestDegradeFolderErrors(t *testing.T) {
	dir := folderOf(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	none := filepath.Join(t.TempDir(), "none")
	for want, out := range map[string]string{
		"lies in the folder of the inputs": filepath.Join(dir, "out"),
		"is a file, want a folder":         file,
		"there is no folder " + none:       filepath.Join(none, "y"),
	} {
		require.Contains(t, failure(t, "degrade", "--task", "denoise", "--in", dir, "--out", out), want)
	}
	require.NoDirExists(t, filepath.Join(dir, "out"))
	only := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(only, "bad.png"), []byte("no picture"), 0o644))
	code, _, stderr := start(t, "degrade", "--task", "denoise", "--in", only, "--out", filepath.Join(t.TempDir(), "y"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "none of the 1 pictures")
}

// TestEvalFolder: eval leaves out what is no picture and takes fewer than asked for, and says both.
func TestEvalFolder(t *testing.T) {
	t.Chdir(t.TempDir()) // for the file of cells
	stdout, stderr := must(t, "eval", "--data", folderOf(t), "--n", "40", "--size", "16", "--tasks", "denoise",
		"--methods",
		"tv")
	require.Contains(t, stdout, "| denoise | tv | 3 |")
	require.Contains(t, stderr, "has 3 pictures that can be read, --n asks for 40")
	require.Contains(t, stderr, "bad.png")
}

// TestLongMessages: no line of an error is longer than 300 characters, and nothing but the middle of long words is
// lost.
func TestLongMessages(t *testing.T) {
	long := strings.Repeat("é", 5000)
	for _, args := range [][]string{
		{"restore", "--task", long, "--in", "x", "--out", "y.png"}, {"restore", "--task", "denoise", "--in", long, "--out",
			"y.png"}, {long}, {"restore", "--task", strings.Repeat("ab ", 400), "--in", "x", "--out", "y.png"},
		{"eval", "--data", long}, {"restore", "--" + long},
	} {
		code, _, stderr := start(t, args...)
		require.Equal(t, 1, code)
		for line := range strings.Lines(stderr) {
			require.LessOrEqual(t, len([]rune(line)), 301, line)
		}
	}
	_, _, stderr := start(t, "restore", "--task", strings.Repeat("ab ", 400), "--in", "x", "--out", "y.png")
	require.Equal(t, 400, strings.Count(stderr, "ab"))
	require.Contains(t, stderr, "denoise")
}
