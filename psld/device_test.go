package psld_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
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
	diffpir, latent := methodOf(t, "diffpir"), methodOf(t, "psld")
	for name, d := range map[string]psld.Damage{"vignette": {Task: "vignette"}, "denoise": {Task: psld.Denoise},
		"sr4": {Task: psld.SR4}} {
		require.Empty(t, psld.HostNote(nil, d, diffpir, 32, 32))
		require.Empty(t, psld.HostNote(m, d, diffpir, 32, 32))
		require.Contains(t, psld.HostNote(hidden, d, diffpir, 32, 32), "method diffpir fits pictures")
		if name == "vignette" {
			require.Contains(t, psld.HostNote(hidden, d, latent, 32, 32), "vignette is computed on the host")
		} else {
			require.Empty(t, psld.HostNote(hidden, d, latent, 32, 32))
			begins := methodOf(t, "psld")
			require.NoError(t, param.Values{"from_diffpir": true, "strength": 0.4}.Apply(begins))
			require.Contains(t, psld.HostNote(hidden, d, begins, 32, 32), "DiffPIR, which it begins from")
			require.Empty(t, psld.HostNote(m, d, begins, 32, 32))
		}
	}
}

// methodOf is a method with its defaults.
func methodOf(t *testing.T, name string) solver.Method {
	spec, err := solver.Lookup(name)
	require.NoError(t, err)
	return spec.Default()
}
