package patchmatch

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRepeats: what sources are raised by is what counting one by one gives.
func TestRepeats(t *testing.T) {
	const h, w = 48, 40
	l := noise(h, w)
	rng := rand.New(rand.NewPCG(3, 4))
	f := make(field, len(l.targets))
	for i := range f {
		f[i] = match{l.sources[rng.IntN(5)], float32(i)}
	}
	raised := l.repeats(f)
	even := 49 * max(1, float64(len(l.targets))/float64(len(l.sources)))
	for q, v := range raised {
		var taken float64
		for _, m := range f {
			dy, dx := int(m.from)/w-q/w, int(m.from)%w-q%w
			if max(dy, -dy) <= 3 && max(dx, -dx) <= 3 {
				taken++
			}
		}
		want := 0.3 * float64(len(f)/2) * max(0, taken/even-1)
		if !l.source[q] {
			want = 0
		}
		require.InDelta(t, want, v, 1e-4*(1+want), "source %d", q)
	}
}

// TestSourcesAreSpread: in noise, where no patch is like another, the hole does not take one part of the picture for
// all of it.
func TestSourcesAreSpread(t *testing.T) {
	const h, w = 96, 80
	l := noise(h, w)
	f, err := l.search(context.Background(), l.random(1), 1, 8)
	require.NoError(t, err)
	for round := range 6 {
		require.NoError(t, l.vote(context.Background(), f, 1))
		f, err = l.search(context.Background(), f, uint64(2+round), 2)
		require.NoError(t, err)
	}
	taken := map[int32]int{}
	for _, m := range f {
		taken[m.from/w/8*w+m.from%w/8]++ // by blocks of 8x8
	}
	most := 0
	for _, n := range taken {
		most = max(most, n)
	}
	t.Logf("%d of %d targets are from one block of %d", most, len(f), len(taken))
	require.Less(t, most, len(f)/10, "with colours alone 463")
}

// noise is a level of random black and white pixels with a hole in its middle.
func noise(h, w int) *level {
	rng := rand.New(rand.NewPCG(1, 2))
	pix := make([]float32, h*w*3)
	for i := range pix {
		pix[i] = float32(2*rng.IntN(2) - 1)
	}
	known := hole(h, w, h/4, w/4, h/2, w/2)
	l := &level{h: h, w: w, pix: withTexture(pix, known, h, w, 50), known: known}
	l.prepare()
	return l
}
