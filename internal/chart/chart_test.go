package chart

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// A curve that falls is drawn as one: its line is high at the left and low at the right of its panel. What has no
// number is left out.
func TestCurves(t *testing.T) {
	var b bytes.Buffer
	drawn, err := Curves(&b, []Curve{{Title: "falls", Y: []float64{9, 6, math.NaN(), 1, 0}},
		{Title: "nothing", Y: []float64{math.NaN(), math.Inf(1)}}})
	require.NoError(t, err)
	require.True(t, drawn)
	img, err := png.Decode(&b)
	require.NoError(t, err)
	require.Equal(t, 1, (img.Bounds().Dx()+100)/416, "one panel of 11 cm at 96 dots an inch")
	highest := func(from, to float64) int { // row of the first ink that is as dark as the line
		for y := 60; y < img.Bounds().Dy()-60; y++ {
			for x := int(from * float64(img.Bounds().Dx())); x < int(to*float64(img.Bounds().Dx())); x++ {
				if dark(img, x, y) {
					return y
				}
			}
		}
		return img.Bounds().Dy()
	}
	require.Less(t, highest(0.25, 0.35)+60, highest(0.8, 0.9))

	drawn, err = Curves(&b, []Curve{{Title: "nothing"}})
	require.NoError(t, err)
	require.False(t, drawn)
}

func dark(img image.Image, x, y int) bool {
	r, g, b, _ := img.At(x, y).RGBA()
	return r+g+b < 3*0x5000
}
