package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// TestRestoreFolder: each picture is restored to the bits that it has alone, and one that fails does not stop others.
func TestRestoreFolder(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(out, name) }
	for _, name := range []string{"a.png", "sub/b.jpg", "sub/c, d.png"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		writePicture(t, filepath.Join(dir, name), 24, 20)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.png"), []byte("no picture"), 0o644))
	model := writeModel(t, nil)
	flags := []string{"restore", "--task", "denoise", "--steps", "2", "--seed", "7", "--method", "psld", "--model", model}
	args := append(flags, "--in", dir, "--out", at("new/deep"))
	code, stdout, stderr := start(t, args...)
	require.Equal(t, 1, code, stderr)
	require.Contains(t, stdout, "3 of 4 pictures restored")
	_, message := splitError(t, stderr)
	require.Contains(t, message, "1 of 4 pictures failed")
	require.Contains(t, message, "bad.png")
	for name, in := range map[string]string{"a.png": "a.png", "sub/b.png": "sub/b.jpg", "sub/c, d.png": "sub/c, d.png"} {
		must(t, append(flags, "--in", filepath.Join(dir, in), "--out", at("one.png"))...)
		require.Equal(t, pixels(t, at("one.png")).Pix, pixels(t, filepath.Join(at("new/deep"), name)).Pix)
	}

	// What is there is left out, but not what was stopped on its way.
	require.NoError(t, os.Remove(filepath.Join(dir, "bad.png")))
	require.NoError(t, os.Remove(at("new/deep/a.png")))
	stdout, _ = must(t, append(args, "--skip-existing")...)
	require.Contains(t, stdout, "1 of 3 pictures restored")
	require.Contains(t, stdout, "2 skipped")
	require.NoError(t, os.Remove(at("new/deep/sub/b.png")))
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	quick := stopAt{"step 1/", cancel}
	require.Equal(t, 130, run(ctx, append(args, "--skip-existing"), quick, &stopWriter{&log, quick}), &log)
	require.Contains(t, log.String(), "--resume --skip-existing")
	require.FileExists(t, at("new/deep/sub/b.png.state"))
	stdout, stderr = must(t, append(args, "--skip-existing", "--resume")...)
	require.Contains(t, stdout, "1 of 3 pictures restored")
	require.Contains(t, stderr, "after step 1 of 2")
	must(t, append(flags, "--in", filepath.Join(dir, "sub/b.jpg"), "--out", at("one.png"))...)
	require.Equal(t, pixels(t, at("one.png")).Pix, pixels(t, at("new/deep/sub/b.png")).Pix)
	require.NoFileExists(t, at("new/deep/sub/b.png.state"))
}

// stopAt stops the work when a line with the text is printed.
type stopAt struct {
	text   string
	cancel func()
}

func (s stopAt) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.text) {
		s.cancel()
	}
	return len(p), nil
}

type stopWriter struct {
	*bytes.Buffer
	stop stopAt
}

func (w *stopWriter) Write(p []byte) (int, error) {
	_, _ = w.stop.Write(p)
	return w.Buffer.Write(p)
}

// TestRestoreSeveral: patterns, lists, and masks that go by the names of the inputs.
func TestRestoreSeveral(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"in", "masks", "few", "both"} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	for _, name := range []string{"in/a.png", "in/b.png", "in/c,d.png"} {
		writePicture(t, name, 16, 16)
	}
	for i, name := range []string{"masks/a.png", "masks/b.jpg", "masks/c,d.png", "few/b.png", "both/a.png", "both/a.jpg",
		"both/b.png"} {
		p := writePicture(t, name, 16, 16)
		for k := range p.Pix {
			p.Pix[k] = -1
			if k/3/16 < 2+i {
				p.Pix[k] = 1
			}
		}
		require.NoError(t, picture.Save(name, p))
	}
	flags := []string{"restore", "--task", "inpaint", "--method", "tv"}
	with := func(more ...string) []string { return append(flags[:len(flags):len(flags)], more...) }

	stdout, _ := must(t, with("--in", "in/[ab].png", "--in", "in/c,d.png", "--mask", "masks", "--out",
		"out/{name}-new.png", "--sheet", "sheets", "--curves", "curves")...)
	require.Contains(t, stdout, "3 of 3 pictures restored")
	for _, name := range []string{"a", "b", "c,d"} {
		require.FileExists(t, "out/"+name+"-new.png")
		require.FileExists(t, "sheets/"+name+".png")
		require.FileExists(t, "curves/"+name+".png")
	}
	must(t, with("--in", "in/b.png", "--mask", "masks/b.jpg", "--out", "one.png")...)
	require.Equal(t, pixels(t, "one.png").Pix, pixels(t, "out/b-new.png").Pix)
	must(t, with("--in", "in/b.png", "--mask", "masks", "--out", "one.png")...) // a folder of masks for one picture
	require.Equal(t, pixels(t, "one.png").Pix, pixels(t, "out/b-new.png").Pix)
	stdout, _ = must(t, with("--in", "in/c,d.png,in/a.png", "--mask", "masks/a.png", "--out", "list", "--json")...)
	require.Contains(t, stdout, `"done":2,"failed":0`)
	must(t, with("--in", "in/c,d.png", "--mask", "masks/a.png", "--out", "one.png")...) // one name with a comma
	require.Equal(t, pixels(t, "one.png").Pix, pixels(t, "list/c,d.png").Pix)

	for want, more := range map[string][]string{
		"no picture of the same name for 1 of 2 inputs: in/a.png": {
			"--in", "in/a.png,in/b.png", "--mask", "few", "--out", "x"},
		"both both/a.jpg and both/a.png": {
			"--in", "in/[ab].png", "--mask", "both", "--out", "x"},
		"is one file, and --in names several": {
			"--in", "in", "--mask", "masks", "--out", "x.png"},
		"lies in the folder of the inputs": {
			"--in", "in", "--mask", "masks", "--out", "in/x"},
		"no picture has a name of this pattern": {
			"--in", "in/*.tif", "--mask", "masks", "--out", "x"},
		"nosuch.png": {
			"--in", "in/a.png,nosuch.png", "--mask", "masks", "--out", "x"},
		"also is the input in/a.png": {
			"--in", "in/*.png", "--mask", "masks", "--out", "in"},
		"of masks/a.png, but also is the result of in/a.png": {
			"--in", "in/a.png", "--in", "masks/a.png", "--out", "x", "--mask", "masks"},
		"cannot be one of several": {
			"--in", "-", "--in", "in/a.png", "--out", "x", "--mask", "masks"},
		"--save-state s.state is one file": {
			"--in", "in/*", "--mask", "masks", "--out", "x", "--save-state", "s.state"},
		"the extension is \".gif\"": {
			"--in", "in", "--mask", "masks", "--out", "x/{name}.gif"},
		"--in is missing": {
			"--mask", "masks", "--out", "x/{name}.png"},
		"--kernel has no meaning": {
			"--in", "in", "--mask", "masks", "--kernel", "masks", "--out", "x"},
	} {
		require.Contains(t, failure(t, with(more...)...), want)
	}
}
