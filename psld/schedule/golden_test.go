package schedule_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/betas"
	"psld/internal/golden"
	"psld/psld/schedule"
)

// TestGoldenSchedule holds the schedule and the DDIM selections for all
// recorded numbers of steps against the reference: equal bits where it stores
// float32, 1e-12 where it stores float64.
func TestGoldenSchedule(t *testing.T) {
	f := golden.Load(t, filepath.Join(golden.Kind(t, "psld"), "schedule.safetensors"))
	floats := func(name string) []float32 { x, _ := golden.F32(t, f, name); return x }
	require.Equal(t, floats("alphas_cumprod"), schedule.AlphasCumprod())
	want, err := f.Float64("betas_f64")
	require.NoError(t, err)
	require.InDeltaSlice(t, want, betas.ScaledLinear(0.00085, 0.012, 1000), 1e-15)

	cases := 0
	for _, name := range f.Names() {
		var steps int
		if n, _ := fmt.Sscanf(name, "S%d.timesteps", &steps); n != 1 || !strings.HasSuffix(name, ".timesteps") {
			continue
		}
		cases++
		want, err := f.Int64(name)
		require.NoError(t, err)
		s := fmt.Sprintf("S%d.", steps)
		for _, eta := range []float64{0, 1} {
			d, err := schedule.StableDiffusion().DDIM(steps, eta)
			require.NoError(t, err)
			require.Len(t, d.Timesteps, len(want), s)
			for i, w := range want {
				require.Equal(t, int(w), d.Timesteps[i])
			}
			require.Equal(t, floats(s+"alphas"), d.Alphas, s)
			require.Equal(t, floats(s+"alphas_prev"), d.AlphasPrev, s)
			require.Equal(t, floats(s+"sqrt_one_minus_alphas"), d.SqrtOneMinusAlpha, s)
			require.Equal(t, floats(fmt.Sprintf("%ssigmas.eta%d", s, int(eta))), d.Sigmas, s)
		}
	}
	require.Positive(t, cases)
}
