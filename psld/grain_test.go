package psld

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

// mosaic is what a camera makes of a picture x[h,w,3]: one colour of three is measured at each pixel, and the two
// others are means of their neighbours.
func mosaic(x *picture.Picture) *picture.Picture {
	y := &picture.Picture{W: x.W, H: x.H, Pix: make([]float32, len(x.Pix))}
	colour := func(r, c int) int { return r%2 + c%2 } // red, green, green, blue
	for r := range x.H {
		for c := range x.W {
			for k := range 3 {
				sum, n := float32(0), float32(0)
				for _, d := range [9][2]int{{0, 0}, {0, 1}, {1, 0}, {0, -1}, {-1, 0}, {1, 1}, {1, -1}, {-1, 1}, {-1, -1}} {
					i, j := r+d[0], c+d[1]
					if i < 0 || j < 0 || i >= x.H || j >= x.W || colour(i, j) != k {
						continue
					}
					sum, n = sum+x.Pix[3*(i*x.W+j)+k], n+1
					if d == [2]int{} {
						break // measured
					}
				}
				y.Pix[3*(r*x.W+c)+k] = sum / n
			}
		}
	}
	return y
}

// throughJPEG is y as it comes back from a file.
func throughJPEG(t *testing.T, y *picture.Picture) *picture.Picture {
	var b bytes.Buffer
	require.NoError(t, picture.EncodeJPEG(&b, y))
	y, err := picture.Decode(&b)
	require.NoError(t, err)
	return y
}

// TestCoarseNoise: the noise of a camera counts as the white noise that was there before its mosaic was filled in, by
// which two of three colours are spread over their neighbours.
func TestCoarseNoise(t *testing.T) {
	const n = 128
	for _, sigma := range []float64{0.1, 0.2} {
		x := waves(n, n)
		for i := range x.Pix {
			x.Pix[i] *= 0.5
		}
		operator.AddGaussian(x.Pix, sigma, 3)
		y := throughJPEG(t, mosaic(x))
		got, note, ok := NoiseOf(task.Must(Denoise), y, nil)
		require.True(t, ok)
		require.Contains(t, note, "coarse")
		// Of red and blue, a quarter of the pixels is measured: what is coarse of them has twice the deviation.
		require.Greater(t, got, sigma)
		require.Less(t, got, 2*sigma)
		flat, ok := smoothest(y.Pix, n, n, nil)
		require.True(t, ok)
		require.Less(t, flat, 0.5*sigma)
		// What is not to be denoised as it is keeps the estimate of its finest detail.
		got, _, ok = NoiseOf(task.Must(InpaintBox), y, nil)
		require.True(t, ok)
		require.Equal(t, flat, got)
	}
}

// TestTextureIsNoCoarseNoise: soft texture of one hue, texture in a part of a picture, shading, and pictures of which
// too little is known.
func TestTextureIsNoCoarseNoise(t *testing.T) {
	const n = 128
	specks := make([]float32, 3*n*n)
	operator.AddGaussian(specks, 0.3, 4)
	soft := mosaic(&picture.Picture{W: n, H: n, Pix: specks}) // coarse, and of all colours
	hue, part, clean := waves(n, n), waves(n, n), waves(n, n)
	for i := range soft.Pix {
		hue.Pix[i] = 0.1*hue.Pix[i] + []float32{1, 0.8, 0.6}[i%3]*soft.Pix[i/3*3+1]
		part.Pix[i] *= 0.5
		if i/3%n < 2*n/3 {
			part.Pix[i] += soft.Pix[i]
		}
	}
	for name, x := range map[string]*picture.Picture{"one hue": hue, "a part": part} {
		_, ok := coarseNoise(x.Pix, n, n)
		require.False(t, ok, name)
	}
	for _, x := range []*picture.Picture{clean, throughJPEG(t, clean)} {
		sigma, _ := coarseNoise(x.Pix, n, n)
		require.Less(t, sigma, 0.03)
	}
	grey := waves(n, n)
	for i := range grey.Pix {
		grey.Pix[i] = 0.5*grey.Pix[i/3*3] + soft.Pix[i/3*3+1]
	}
	_, ok := coarseNoise(grey.Pix, n, n)
	require.False(t, ok)
	_, ok = coarseNoise(soft.Pix[:3*32*32], 32, 32)
	require.False(t, ok)
	for i := range soft.Pix {
		soft.Pix[i] = 1 // all cut off
	}
	_, ok = coarseNoise(soft.Pix, n, n)
	require.False(t, ok)
}

// TestCosines: the transform keeps the energy, and a constant is in one coefficient.
func TestCosines(t *testing.T) {
	y := make([]float32, 3*blockSide*blockSide)
	energy := 0.0
	operator.AddGaussian(y, 0.1, 5)
	for _, v := range y {
		energy += float64(v) * float64(v)
	}
	var b block
	require.True(t, b.read(y, blockSide, 0, 0))
	got := 0.0
	for _, row := range b {
		for _, x := range row {
			got += x[0]*x[0] + x[1]*x[1] + x[2]*x[2]
		}
	}
	require.InEpsilon(t, energy, got, 1e-9)
	for i := range y {
		y[i] = 0.5
	}
	require.True(t, b.read(y, blockSide, 0, 0))
	require.InDelta(t, 0.5*blockSide*math.Sqrt(3), b[0][0][0], 1e-9)
	b[0][0] = [3]float64{}
	for _, row := range b {
		for _, x := range row {
			require.InDelta(t, 0, x[0]*x[0]+x[1]*x[1]+x[2]*x[2], 1e-18)
		}
	}
}
