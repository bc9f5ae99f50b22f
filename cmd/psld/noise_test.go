package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// TestNoiseFlags: each kind of noise has its own level, and a grey measurement becomes a picture of the same size.
func TestNoiseFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "x.png", 24, 20)
	args := []string{"degrade", "--task", "denoise", "--in", "x.png", "--out", "y.png", "--noise"}
	out, _ := must(t, append(args, "poisson", "--noise-level", "100")...)
	require.Contains(t, out, "Poisson noise of 100 photons at white (deviation 0.2 on [-1,1] there)")
	out, _ = must(t, append(args, "salt-and-pepper", "--noise-level", "0.1")...)
	require.Contains(t, out, "salt and pepper on 10 % of the pixels")
	out, _ = must(t, append(args, "gaussian", "--sigma", "0.1")...)
	require.Contains(t, out, "noise of deviation 0.1 on [-1,1] (0.05 on [0,1])")
	require.Contains(t, failure(t, append(args, "rain")...), "want gaussian, poisson or salt-and-pepper")
	require.Contains(t, failure(t, append(args, "poisson")...), "want a number of more than 0")
	require.Contains(t, failure(t, append(args, "poisson", "--noise-level", "9", "--sigma", "1")...),
		"--sigma has no meaning for poisson noise")
	require.Contains(t, failure(t, append(args, "gaussian", "--noise-level", "9")...), "--sigma is its deviation")

	must(t, "degrade", "--task", "colourise", "--in", "x.png", "--out", "grey.png")
	must(t, "restore", "--task", "colourise", "--method", "tv", "--iterations", "3", "--in", "grey.png",
		"--out", "z.png")
	p, err := picture.Load("z.png")
	require.NoError(t, err)
	require.Equal(t, [2]int{24, 20}, [2]int{p.W, p.H})
}

// TestNoiseOfLossyFiles: where compression has taken noise away, the estimate is said to be unsure.
func TestNoiseOfLossyFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "y.png", 24, 20)
	p, err := picture.Load("y.png")
	require.NoError(t, err)
	require.NoError(t, picture.Save("y.jpg", p))
	const note = "unsure, since the file is lossy: compression takes noise away, of which there may be up to twice as " +
		"much (--sigma tells it)"
	args := []string{"restore", "--task", "denoise", "--method", "tv", "--iterations", "2", "--out", "x.png", "--in"}
	_, said := must(t, append(args, "y.jpg")...)
	require.Contains(t, said, note)
	for _, more := range [][]string{{"y.png"}, {"y.jpg", "--sigma", "0.1"}} {
		_, said = must(t, append(args, more...)...)
		require.NotContains(t, said, "lossy")
	}
}
