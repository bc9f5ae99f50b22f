package psld

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMethodTitle(t *testing.T) {
	for name, want := range map[string]string{"psld": "PSLD", "gmldps": "GML-DPS", "ldps": "LDPS", "dps": "DPS",
		"score-sde": "Score-SDE", "diffpir": "DiffPIR", "pnp-admm": "PnP-ADMM", "guess": "Guess & Guide",
		"dpm": "DPM-Solver++(2M)", "tv": "TV", "psld-patchmatch": "PSLD-PatchMatch", "mine": "mine"} {
		require.Equal(t, want, MethodTitle(name))
	}
}
