package task

import (
	"testing"

	"github.com/stretchr/testify/require"

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
	keep, missing, err := inpaintRandom.FindKnown(fill())
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, true, true}, keep)
	require.Equal(t, "exactly black", missing)

	_, _, err = inpaint.FindKnown(fill())
	require.ErrorContains(t, err, "mask")

	p := fill()
	p.Alpha = []float32{1, 127.0 / 255, 128.0 / 255, 0}
	keep, missing, err = inpaintBox.FindKnown(p)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, true, false}, keep)
	require.Equal(t, "transparent", missing)

	p = fill()
	copy(p.Pix, []float32{0, 0, 0})
	_, _, err = inpaintBox.FindKnown(p)
	require.ErrorContains(t, err, "mask")
}
