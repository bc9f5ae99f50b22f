package picture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadSquares(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a.png", "b.png", "c.jpg", "d.png"} {
		p := New(30+i, 20) // brighter from picture to picture, with a dark column at the left
		for k := range p.Pix {
			if k%(3*p.W) >= 3 {
				p.Pix[k] = float32(i) / 4
			}
		}
		require.NoError(t, Save(filepath.Join(dir, name), p))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644))
	pics, left, err := LoadSquares(dir, 2, 10)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Len(t, pics, 2)
	for i, p := range pics { // a and c; the column at the left is cut off
		require.Equal(t, [2]int{10, 10}, [2]int{p.W, p.H})
		for _, v := range p.Pix {
			require.InDelta(t, float64(i)/2, v, 0.01)
		}
	}
	for _, n := range []int{0, 5} { // all, and more than there are
		pics, _, err = LoadSquares(dir, n, 10)
		require.NoError(t, err)
		require.Len(t, pics, 4)
	}
	_, _, err = LoadSquares(t.TempDir(), 0, 10)
	require.ErrorContains(t, err, "has 0 pictures")
}

// TestLoadSquaresBroken: a file that is no picture is left out, with the reason.
func TestLoadSquaresBroken(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "b.png")
	require.NoError(t, os.WriteFile(bad, []byte("no picture"), 0o644))
	_, _, err := LoadSquares(dir, 0, 10)
	require.ErrorContains(t, err, "no picture of")
	require.ErrorContains(t, err, bad)
	require.NoError(t, Save(filepath.Join(dir, "a.png"), New(12, 12)))
	pics, left, err := LoadSquares(dir, 0, 10)
	require.NoError(t, err)
	require.Len(t, pics, 1)
	require.Len(t, left, 1)
	require.ErrorContains(t, left[0], bad)
}

// TestOpenSquaresReplaces: for one that is broken the next free file is taken, so that there are as many as asked for,
// and those that were taken without it stay.
func TestOpenSquaresReplaces(t *testing.T) {
	dir := t.TempDir()
	const files = 9
	name := func(i int) string { return filepath.Join(dir, string(rune('a'+i))+".png") }
	for i := range files {
		require.NoError(t, Save(name(i), New(10+i, 10)))
	}
	taken := func(n int, broken ...int) (list string) {
		for _, i := range broken {
			require.NoError(t, os.WriteFile(name(i), []byte("no picture"), 0o644))
		}
		s, err := OpenSquares(dir, n, 10)
		require.NoError(t, err)
		for _, path := range s.paths {
			list += filepath.Base(path)[:1]
		}
		list += " "
		for _, err := range s.Left {
			require.ErrorContains(t, err, dir)
			for i := range files {
				if strings.Contains(err.Error(), name(i)) {
					list += name(i)[len(dir)+1:][:1]
				}
			}
		}
		return list
	}
	require.Equal(t, "adg ", taken(3))
	require.Equal(t, "aeg d", taken(3, 3))
	require.Equal(t, "aeg d", taken(3), "the same again")
	require.Equal(t, "abe dghi", taken(3, 6, 7, 8), "around the end")
	require.Equal(t, "abcef dghi", taken(0))
	require.Equal(t, "abcef dghi", taken(7), "there are no more")
}

// TestFiles: subfolders are walked in the order of names, hidden ones are not.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	names := []string{"b.png", "a/z.JPG", "c/d/e.tiff", ".hidden/x.png", "a/._z.jpg", "a/notes.txt", "c.gif/f.bmp"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
	}
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	for _, root := range []string{dir, link, dir + "/"} {
		paths, err := Files(root)
		require.NoError(t, err)
		var got []string
		for _, p := range paths {
			inside, err := filepath.Rel(root, p)
			require.NoError(t, err)
			got = append(got, filepath.ToSlash(inside))
		}
		require.Equal(t, []string{"a/z.JPG", "b.png", "c/d/e.tiff", "c.gif/f.bmp"}, got)
	}
	_, err := Files(filepath.Join(dir, "b.png"))
	require.ErrorContains(t, err, "b.png is no folder")
	_, err = Files(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
