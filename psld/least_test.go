package psld

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/task"
	"psld/tensor/cpu"
)

// TestLeastMemory: it is a bound of what the networks of a run are measured to take, and not far from it for a method
// without a gradient; it grows with the picture up to the window.
func TestLeastMemory(t *testing.T) {
	const side = 96
	m, err := prior.DefaultPixel()
	require.NoError(t, err)
	d := Damage{Task: task.Denoise}
	o := Options{Method: "diffpir", Params: param.Values{"steps": 2}}
	method, err := Preset(m, d, side, side, o)
	require.NoError(t, err)
	least := LeastMemory(m, method, d, side, side, o) - pictureBytes*side*side
	pool := cpu.Memory()
	pool.ResetPeak()
	before := pool.Live()
	_, err = Solve(t.Context(), m, Problem{Damage: d, Measurement: picture.New(side, side)}, o)
	require.NoError(t, err)
	took := pool.Peak() - before
	require.LessOrEqual(t, least, took)
	require.Greater(t, least, took/4)

	window := m.Window
	require.Positive(t, window)
	one, two := LeastMemory(m, method, d, window, window, o), LeastMemory(m, method, d, window, 2*window, o)
	require.LessOrEqual(t, two-one, int64(pictureBytes*window*window)) // of the picture alone, windows are smaller
	require.Greater(t, two, one/2)
	require.Less(t, LeastMemory(m, method, d, window, window/2, o), one)
	keep := make([]bool, 4*window*window) // a small hole is a small window
	for i := range keep {
		keep[i] = i/(2*window) > 20 || i%(2*window) > 20
	}
	hole := LeastMemory(m, method, Damage{Task: task.Inpaint, Keep: keep}, 2*window, 2*window, o)
	require.Less(t, hole, LeastMemory(m, method, d, 2*window, 2*window, o)/4)
}

func TestCheckMemory(t *testing.T) {
	tv, err := Preset(nil, Damage{Task: task.Denoise}, 2000, 2000, Options{Method: "tv"})
	require.NoError(t, err)
	check := func(most int64) error {
		return CheckMemory(nil, tv, Damage{Task: task.Denoise}, 2000, 2000, Options{MaxMemory: most})
	}
	require.ErrorContains(t, check(1<<28), "MiB of memory are needed, --max-mem is 256.0 MiB: want ")
	err = check(1 << 20)
	require.ErrorContains(t, err, "--max-mem is 1.0 MiB: want ")
	var enough int64
	_, rest, _ := strings.Cut(err.Error(), "want ")
	_, e := fmt.Sscanf(rest, "%dMiB there at the least", &enough)
	require.NoError(t, e, rest)
	require.NoError(t, check(enough<<20))
	require.NoError(t, check(1<<40))
	require.NoError(t, check(0))
}
