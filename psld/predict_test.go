package psld

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/prior"
	"psld/psld/solver"
)

// TestPredict: a step of PSLD goes through three networks forward and back, one of DiffPIR forward alone; windows cost
// what their area costs.
func TestPredict(t *testing.T) {
	m := prior.RandomTiny(1)
	eps, encode, decode := m.MACs(64, 64)
	require.Equal(t, 2*float64(eps+encode+decode), stepMACs(m, m, &solver.PSLD{}, 64, 64))
	require.Equal(t, 2*float64(eps+encode+decode), stepMACs(m, m, &solver.PSLD{}, 61, 63), "padded")
	require.Equal(t, float64(eps+encode+decode), stepMACs(m, m, &solver.DiffPIR{}, 64, 64))
	method := &solver.PSLD{DDIM: solver.DDIM{Steps: 7}}
	require.Equal(t, 7, stepsOf(method))
	require.Positive(t, Predict(m, method, Damage{Task: Denoise}, 64, 64, Options{}))
	require.Zero(t, Predict(nil, &solver.TV{Iterations: 3}, Damage{Task: Denoise}, 64, 64, Options{}))
}
