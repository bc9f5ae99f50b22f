package psld_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/picture"
)

func TestFindKnown(t *testing.T) {
	fill := func() *picture.Picture { // 2x2, one black pixel, one nearly black
		p := picture.New(2, 2)
		for i := 3; i < 12; i++ {
			p.Pix[i] = 0.5
		}
		copy(p.Pix[3:], []float32{-1, -1, -1 + 2.0/255})
		return p
	}
	keep, missing, err := psld.FindKnown(fill(), psld.InpaintRandom)
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, true, true}, keep)
	require.Equal(t, "exactly black", missing)

	_, _, err = psld.FindKnown(fill(), psld.Inpaint)
	require.ErrorContains(t, err, "mask")

	p := fill()
	p.Alpha = []float32{1, 127.0 / 255, 128.0 / 255, 0}
	keep, missing, err = psld.FindKnown(p, psld.InpaintBox)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, true, false}, keep)
	require.Equal(t, "transparent", missing)

	p = fill()
	copy(p.Pix, []float32{0, 0, 0})
	_, _, err = psld.FindKnown(p, psld.InpaintBox)
	require.ErrorContains(t, err, "mask")
}

func TestLoadSquares(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a.png", "b.png", "c.jpg", "d.png"} {
		p := picture.New(30+i, 20) // brighter from picture to picture, with a dark column at the left
		for k := range p.Pix {
			if k%(3*p.W) >= 3 {
				p.Pix[k] = float32(i) / 4
			}
		}
		require.NoError(t, picture.Save(filepath.Join(dir, name), p))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644))
	pics, err := psld.LoadSquares(dir, 2, 10)
	require.NoError(t, err)
	require.Len(t, pics, 2)
	for i, p := range pics { // a and c; the column at the left is cut off
		require.Equal(t, [2]int{10, 10}, [2]int{p.W, p.H})
		for _, v := range p.Pix {
			require.InDelta(t, float64(i)/2, v, 0.01)
		}
	}
	pics, err = psld.LoadSquares(dir, 0, 10)
	require.NoError(t, err)
	require.Len(t, pics, 4)
	_, err = psld.LoadSquares(dir, 5, 10)
	require.ErrorContains(t, err, "want at least 5")
	_, err = psld.LoadSquares(t.TempDir(), 0, 10)
	require.ErrorContains(t, err, "has 0 pictures")
}
