package task

import (
	"math/rand/v2"
	"slices"
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

// TestBlack: black pixels count as missing only where they look like the task's damage, and not where a part of the
// picture is dark.
func TestBlack(t *testing.T) {
	const h, w = 60, 80
	masks := map[string]func(y, x int) bool{ // true is black
		"70 %":    func(y, x int) bool { return rand.New(rand.NewPCG(uint64(y), uint64(x))).Float64() < 0.7 },
		"2 %":     func(y, x int) bool { return rand.New(rand.NewPCG(uint64(y), uint64(x))).Float64() < 0.02 },
		"box":     func(y, x int) bool { return y >= 10 && y < 40 && x >= 20 && x < 50 },
		"rows":    func(y, x int) bool { return y%5 == 2 },
		"jacket":  func(y, x int) bool { return (y-50)*(y-50)+(x-40)*(x-40) < 500 },
		"box and": func(y, x int) bool { return y >= 10 && y < 40 && x >= 20 && x < 50 || y > 55 && x < 9 },
	}
	fits := map[Name][]string{InpaintRandom: {"70 %", "2 %"}, InpaintBox: {"box"}, Destripe: {"rows"}}
	for name, good := range fits {
		for mask, black := range masks {
			p := picture.New(w, h)
			for i := range p.Pix {
				if !black(i/3/w, i/3%w) {
					p.Pix[i] = 0.2
				}
			}
			_, _, err := Must(name).FindKnown(p)
			if slices.Contains(good, mask) {
				require.NoError(t, err, "%s of %s", mask, name)
			} else {
				require.ErrorContains(t, err, "give a mask", "%s of %s", mask, name)
			}
		}
	}
}
