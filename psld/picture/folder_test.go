package picture

import (
	"os"
	"path/filepath"
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
	pics, err := LoadSquares(dir, 2, 10)
	require.NoError(t, err)
	require.Len(t, pics, 2)
	for i, p := range pics { // a and c; the column at the left is cut off
		require.Equal(t, [2]int{10, 10}, [2]int{p.W, p.H})
		for _, v := range p.Pix {
			require.InDelta(t, float64(i)/2, v, 0.01)
		}
	}
	pics, err = LoadSquares(dir, 0, 10)
	require.NoError(t, err)
	require.Len(t, pics, 4)
	_, err = LoadSquares(dir, 5, 10)
	require.ErrorContains(t, err, "want at least 5")
	_, err = LoadSquares(t.TempDir(), 0, 10)
	require.ErrorContains(t, err, "has 0 pictures")
}
