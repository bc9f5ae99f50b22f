//go:build linux || darwin

package atomicfile

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func names(t *testing.T, dir string) (all []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// A new file has the mode of the umask, an old one keeps its own.
func TestMode(t *testing.T) {
	old := unix.Umask(0o027)
	defer unix.Umask(old)
	path := filepath.Join(t.TempDir(), "x")
	mode := func() os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	require.NoError(t, Write(path, text("1")))
	require.Equal(t, os.FileMode(0o640), mode())
	require.NoError(t, os.Chmod(path, 0o604))
	require.NoError(t, Write(path, text("2")))
	require.Equal(t, os.FileMode(0o604), mode())
}

// A link stays a link; its target is written, whether it was there or not.
func TestLink(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	require.NoError(t, os.Mkdir(sub, 0o755))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("sub/file", link))
	for _, s := range []string{"new", "again"} {
		require.NoError(t, Check(link))
		require.NoError(t, Write(link, text(s)))
		got, err := os.ReadFile(filepath.Join(sub, "file"))
		require.NoError(t, err)
		require.Equal(t, s, string(got))
		require.Equal(t, []string{"link", "sub"}, names(t, dir))
	}
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink("loop", loop))
	require.ErrorContains(t, Write(loop, text("")), "symbolic links")
}

func TestFifo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	require.NoError(t, Check(path))
	got := make(chan string)
	go func() {
		b, _ := os.ReadFile(path)
		got <- string(b)
	}()
	require.NoError(t, Write(path, text("through")))
	require.Equal(t, "through", <-got)
}

// What killed runs left of this path goes; the files of a run that is there, and of other paths, stay.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("x", 250)+".png") // of the longest names there are
	held, err := temporary(path)
	require.NoError(t, err)
	dead := filepath.Join(dir, prefix(path)+"1-0.tmp")
	older := filepath.Join(dir, ".a.png.123456.tmp")
	other := filepath.Join(dir, ".a.png.note.tmp")
	for _, name := range []string{dead, older, other} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
	}
	require.NoError(t, Write(path, text("")))
	require.NoError(t, Check(filepath.Join(dir, "a.png")))
	require.ElementsMatch(t, []string{filepath.Base(path), filepath.Base(held.Name()), filepath.Base(other)},
		names(t, dir))
	require.NoError(t, held.Close())
	Clean(path)
	require.ElementsMatch(t, []string{filepath.Base(path), filepath.Base(other)}, names(t, dir))
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	for path, want := range map[string]string{
		"missing/x.png":          "there is no folder " + filepath.Join(dir, "missing"),
		"f/x.png":                filepath.Join(dir, "f") + " is no folder",
		".":                      "folder",
		strings.Repeat("y", 256): "file name too long",
	} {
		err := Check(filepath.Join(dir, path))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), ".psld-")
	}
	require.NoError(t, Check(filepath.Join(dir, strings.Repeat("y", 255))))
	require.Equal(t, []string{"f"}, names(t, dir))
	n, ok := Free(dir)
	require.True(t, ok)
	require.Positive(t, n)
}

// A folder appears whole or not at all, and those of killed runs go.
func TestWriteDir(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model")
	killed := filepath.Join(dir, prefix(path)+"1-0.tmp")
	require.NoError(t, os.WriteFile(killed, nil, 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(killed+folder, "unet"), 0o700))
	fill := func(err error) func(string) error {
		return func(temp string) error {
			require.NoError(t, os.WriteFile(filepath.Join(temp, "x"), nil, 0o600))
			return err
		}
	}
	require.ErrorIs(t, WriteDir(path, fill(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF)
	require.Empty(t, names(t, dir))
	require.NoError(t, WriteDir(path, fill(nil)))
	require.Equal(t, []string{"model"}, names(t, dir))
	require.Equal(t, []string{"x"}, names(t, path))
	require.Error(t, WriteDir(path, fill(nil)), "it is not empty")
	require.Equal(t, []string{"model"}, names(t, dir))
}
