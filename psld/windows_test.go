package psld

import (
	"context"
	"image"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
)

// scratched is a mask of h x w pixels without two specks, a disc, and a scratch three pixels wide along the diagonal
// down to column end.
func scratched(h, w, end int) []bool {
	keep := make([]bool, h*w)
	for i := range keep {
		x, y := i%w, i/w
		d := x*h - y*w // distance from the diagonal, times the sides
		disc := (x-w*3/4)*(x-w*3/4)+(y-h/5)*(y-h/5) < 64
		keep[i] = !(d >= -h && d <= h && x < end || disc || x == 9 && y == h-20 || x == 30 && y == h-25)
	}
	return keep
}

// TestHoleWindows: windows lie in the picture, every missing pixel is painted by one that sees at least half of a
// thin hole's context around it, and all of them are a small part of the picture.
func TestHoleWindows(t *testing.T) {
	for _, s := range []struct{ h, w, side int }{{900, 1300, 0}, {1300, 900, 64}, {2000, 2100, 512}} {
		keep := scratched(s.h, s.w, s.w)
		list := holeWindows(keep, s.h, s.w, s.side)
		require.NotEmpty(t, list)
		painted, area := make([]bool, len(keep)), 0
		for _, v := range list {
			require.True(t, v.all.In(image.Rect(0, 0, s.w, s.h)) && v.inner.In(v.all), "%v", v)
			require.GreaterOrEqual(t, min(v.all.Dx(), v.all.Dy()), max(s.side, 2*thinContext))
			area += v.all.Dx() * v.all.Dy()
			for y := v.inner.Min.Y; y < v.inner.Max.Y; y++ {
				for x := v.inner.Min.X; x < v.inner.Max.X; x++ {
					painted[y*s.w+x] = true
				}
			}
			in, all := v.inner, v.all
			require.True(t, in.Min.X-all.Min.X >= 8 || all.Min.X == 0)
			require.True(t, in.Min.Y-all.Min.Y >= 8 || all.Min.Y == 0)
			require.True(t, all.Max.X-in.Max.X >= 8 || all.Max.X == s.w)
			require.True(t, all.Max.Y-in.Max.Y >= 8 || all.Max.Y == s.h)
		}
		for i, k := range keep {
			if !k && !painted[i] {
				t.Fatalf("pixel %d, %d is not painted", i%s.w, i/s.w)
			}
		}
		require.Less(t, 10*area, 6*s.h*s.w)
	}
	small := scratched(200, 300, 300)
	require.Nil(t, holeWindows(small, 200, 300, 0), "a small picture is one piece")
	half := make([]bool, 800*600)
	for i := range 800 * 300 {
		half[i] = true
	}
	require.Nil(t, holeWindows(half, 800, 600, 0), "a large hole is one piece")
}

// TestDepths against the definition.
func TestDepths(t *testing.T) {
	const h, w = 30, 40
	keep := scratched(h, w, 100)
	for i, d := range depths(keep, h, w) {
		least := 3 * (h + w)
		for j, k := range keep {
			if k { // so many diagonal steps as the shorter way has, the rest straight
				dx, dy := abs(i%w-j%w), abs(i/w-j/w)
				least = min(least, 4*min(dx, dy)+3*(max(dx, dy)-min(dx, dy)))
			}
		}
		require.Equal(t, least, int(d))
	}
}

func abs(v int) int { return max(v, -v) }

// TestWindowsPaint: a smooth picture with scratches comes back, its known pixels as they were.
func TestWindowsPaint(t *testing.T) {
	const h, w = 300, 420
	x, keep := waves(h, w), scratched(h, w, 100)
	y := waves(h, w)
	for i, k := range keep {
		if !k {
			y.Pix[3*i], y.Pix[3*i+1], y.Pix[3*i+2] = 1, 1, 1
		}
	}
	o := Options{Method: "tv"}
	r, err := Solve(context.Background(), nil, Problem{Damage{Task: Inpaint, Keep: keep}, y}, o)
	require.NoError(t, err)
	require.GreaterOrEqual(t, r.Windows, 3)
	var squares, n float64
	for i, v := range r.Picture.Pix {
		if keep[i/3] {
			require.Equal(t, x.Pix[i], v)
		} else if (i/3%w-w*3/4)*(i/3%w-w*3/4)+(i/3/w-h/5)*(i/3/w-h/5) >= 64 { // thin, as total variation can fill
			squares, n = squares+float64(v-x.Pix[i])*float64(v-x.Pix[i]), n+1
		}
	}
	require.Less(t, math.Sqrt(squares/n), 0.08) // of waves with a deviation of 0.35
}

// TestWindowsResume: a run that was ended in some window goes on to the same bits; another mask's state is refused.
func TestWindowsResume(t *testing.T) {
	const h, w = 290, 300
	m, keep := prior.RandomTiny(2), scratched(h, w, 100)
	p := Problem{Damage{Task: Inpaint, Keep: keep}, waves(h, w)}
	o := Options{Params: param.Values{"steps": 4}, Seed: 3}
	whole, err := Solve(context.Background(), m, p, o)
	require.NoError(t, err)
	for _, end := range []int{3, 4, 4*whole.Windows - 1, 4 * whole.Windows} { // 4: behind the steps of a window
		ctx, cancel := context.WithCancel(context.Background())
		stopped := o
		stopped.Keep.File = filepath.Join(t.TempDir(), "state")
		stopped.Progress = func(s solver.Progress) {
			require.Equal(t, 4*whole.Windows, s.Steps)
			if s.Step == end {
				cancel()
			}
		}
		r, err := Solve(ctx, m, p, stopped)
		cancel()
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, end, r.Steps)
		stopped.Keep.Resume, stopped.Progress = true, nil
		r, err = Solve(context.Background(), m, p, stopped)
		require.NoError(t, err)
		require.Equal(t, whole.Picture.Pix, r.Picture.Pix)

		other := p
		other.Keep = scratched(h, w, 100)
		other.Keep[len(keep)-1], other.Keep[3*w] = false, false
		_, err = Solve(context.Background(), m, other, stopped)
		require.ErrorContains(t, err, "state of another run")
	}
}
