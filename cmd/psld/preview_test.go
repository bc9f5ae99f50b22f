package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/solver"
)

// TestLook: a run of minutes says by its first step how long it takes, and writes a preview then and every minute, but
// not after the last step, which has the result.
func TestLook(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "look.png")
	r := &restoration{restoreFlags: &restoreFlags{preview: &path}, c: &console{log: &log}, w: 4, h: 2,
		method: &solver.DPM{Steps: 8, Fits: 4}, d: psld.Damage{Task: psld.Denoise}, bar: newProgress(&log, "step")}
	p := solver.Progress{Steps: 8, Picture: func() ([]float32, error) { return make([]float32, 4*2*3), nil }}
	p.Timing.UNet.Forward, p.Timing.Decoder.Forward, p.Timing.Encoder.Forward = 2, 10, 5
	written := func(step int) bool {
		_ = os.Remove(path)
		p.Step = step
		r.look(p)
		r.bar.pace(p.Step, p.Steps, 0)
		_, err := os.Stat(path)
		return err == nil
	}
	require.True(t, written(1))
	require.Equal(t, "time      about 1m31s by the first step\n", log.String(), "8 UNet, 5 of decoder and encoder")
	require.False(t, written(2))
	r.looked = r.looked.Add(-time.Minute)
	require.True(t, written(3))
	r.looked = r.looked.Add(-time.Minute)
	require.False(t, written(8))
	require.NotContains(t, log.String(), "warning")

	r.predicted = 3 * time.Minute
	require.Empty(t, r.lookHint())
	path = ""
	require.Equal(t, "; --preview FILE shows the picture from the first step on", r.lookHint())
	r.predicted = time.Minute
	require.Empty(t, r.lookHint())
}
