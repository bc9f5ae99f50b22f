package psld_test

import (
	"context"
	"image"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
)

// What is missing or not whole among the arguments is an error that names it.
func TestArguments(t *testing.T) {
	d, err := psld.NewDamage(psld.InpaintRandom, 16, 16, 1)
	require.NoError(t, err)
	whole := picture.New(16, 16)
	short := picture.New(16, 16)
	short.Alpha = make([]float32, 3)
	var none context.Context
	for want, c := range map[string]struct {
		ctx context.Context
		m   prior.Prior
		y   image.Image
		o   psld.Options
	}{
		"ctx is nil":                         {none, nil, whole, psld.Options{Method: "tv"}},
		"Problem.Measurement is nil":         {t.Context(), nil, nil, psld.Options{}},
		"is a nil *picture.Picture":          {t.Context(), nil, (*picture.Picture)(nil), psld.Options{}},
		"is a nil *image.RGBA":               {t.Context(), nil, (*image.RGBA)(nil), psld.Options{}},
		"size 0x0":                           {t.Context(), nil, &picture.Picture{}, psld.Options{}},
		"size -1x16":                         {t.Context(), nil, picture.New(-1, 16), psld.Options{}},
		"is 0x0 pixels":                      {t.Context(), nil, image.NewRGBA(image.Rect(0, 0, 0, 0)), psld.Options{}},
		"3 of alpha":                         {t.Context(), nil, short, psld.Options{}},
		"m is a nil *prior.LatentDiffusion":  {t.Context(), (*prior.LatentDiffusion)(nil), whole, psld.Options{}},
		"the model m: the model has no UNet": {t.Context(), &prior.LatentDiffusion{}, whole, psld.Options{}},
		"prior.OpenPixel makes a whole one":  {t.Context(), &prior.Pixel{}, whole, psld.Options{Method: "diffpir"}},
		"needs a model":                      {t.Context(), nil, whole, psld.Options{Method: "psld"}},
		"there is no folder": {t.Context(), nil, whole, psld.Options{Method: "tv",
			Keep: solver.Keep{File: filepath.Join(t.TempDir(), "none", "x.state")}}},
		"MaxMemory is -1": {t.Context(), nil, whole, psld.Options{Method: "tv", MaxMemory: -1}},
	} {
		_, err := psld.Solve(c.ctx, c.m, psld.Problem{Damage: d, Measurement: c.y}, c.o)
		require.ErrorContains(t, err, want)
	}
	_, err = (&prior.LatentDiffusion{}).Generate(t.Context(), prior.Generation{})
	require.ErrorContains(t, err, "no UNet")
	_, err = prior.RandomTiny(1).Generate(t.Context(), prior.Generation{Init: (*picture.Picture)(nil)})
	require.ErrorContains(t, err, "Generation.Init is a nil")
	_, err = prior.RandomTiny(1).Generate(none, prior.Generation{})
	require.ErrorContains(t, err, "ctx is nil")
	_, err = psld.NewDamage(psld.InpaintRandom, -3, 16, 1)
	require.ErrorContains(t, err, "16x-3")
	_, err = psld.Measure(nil, d, 0, 1)
	require.ErrorContains(t, err, "no picture")
	_, err = psld.Measure(&picture.Picture{W: 16, H: 16}, d, 0, 1)
	require.ErrorContains(t, err, "does not fit")
	_, err = psld.NewDamage(psld.DeblurMotion, 0, 0, 1)
	require.ErrorContains(t, err, "0x0")
}
