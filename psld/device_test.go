package psld_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/operator"
	"psld/psld/prior"
	"psld/psld/task"
	"psld/tensor/cpu"
	"psld/tensor/devicetest"
)

// TestHostNote: an operator of a user's own is restored on any device, and where that has memory of its own the
// program says that it is computed on the host, as what some methods do is.
func TestHostNote(t *testing.T) {
	remove, err := task.Register(&task.Task{
		Name: "vignette", Scale: 1, TV: 0.01,
		Lost: "light at the border", Looks: "The corners are grey.", Does: "take a lens's falling light out",
		Operator: func(h, w int, _ task.Damage) (operator.Linear, error) { return vignette{h, w}, nil },
		Draw:     func(_, _ int, _ task.Values, _ uint64) (task.Damage, error) { return task.Damage{}, nil },
	})
	require.NoError(t, err)
	defer remove()
	m := prior.RandomTiny(1)
	hidden := m.On(devicetest.Hidden(cpu.F32))
	for name, d := range map[string]psld.Damage{"vignette": {Task: "vignette"}, "denoise": {Task: psld.Denoise},
		"sr4": {Task: psld.SR4}} {
		require.Empty(t, psld.HostNote(nil, d, "diffpir", 32, 32))
		require.Empty(t, psld.HostNote(m, d, "diffpir", 32, 32))
		require.Contains(t, psld.HostNote(hidden, d, "diffpir", 32, 32), "method diffpir fits pictures")
		if name == "vignette" {
			require.Contains(t, psld.HostNote(hidden, d, "psld", 32, 32), "vignette is computed on the host")
		} else {
			require.Empty(t, psld.HostNote(hidden, d, "psld", 32, 32))
		}
	}
}
