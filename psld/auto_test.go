package psld

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/prior"
	"psld/psld/task"
)

// TestBest: where all holes are thin, another method is best for inpainting than where one is thick; not with latent
// models, nor for other tasks.
func TestBest(t *testing.T) {
	const h, w = 40, 60
	lines := func(width int) []bool {
		keep := make([]bool, h*w)
		for i := range keep {
			keep[i] = i%w < 20 || i%w >= 20+width
		}
		return keep
	}
	require.Equal(t, 8, thickness(lines(7), h, w))
	require.Equal(t, 8, thickness(lines(8), h, w))
	require.Zero(t, thickness(lines(0), h, w))
	usual := or(task.Must(task.Inpaint).Best, "psld")
	name, why := Best(Damage{Task: task.Inpaint, Keep: lines(3)}, h, w, nil)
	require.Equal(t, task.Must(task.Inpaint).Thin, name)
	require.Equal(t, "the holes are thin, at most 4 pixels across", why)
	for _, d := range []Damage{{Task: task.Inpaint, Keep: lines(20)}, {Task: task.Inpaint}} {
		name, why = Best(d, h, w, nil)
		require.Equal(t, usual, name)
		require.Empty(t, why)
	}
	name, _ = Best(Damage{Task: task.Inpaint, Keep: lines(3)}, h, w, prior.RandomTiny(1))
	require.Equal(t, "psld", name)
	name, _ = Best(Damage{Task: task.Destripe, Keep: lines(3)}, h, w, nil)
	require.Equal(t, task.Must(task.Destripe).Best, name)
}
