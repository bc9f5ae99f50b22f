package memstat

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestField(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	require.NoError(t, os.WriteFile(path, []byte("Name:\tx\nXVmRSS:\t 9 kB\nVmRSS:\t  1234 kB\nVmHWM:\t\nBad:\tmany kB"),
		0o644))
	require.Equal(t, int64(1234<<10), field(path, "VmRSS:"))
	for _, key := range []string{"Name:", "VmHWM:", "Bad:", "None:"} {
		if key != "VmHWM:" { // the next word, whatever it is, is no number
			require.Zero(t, field(path, key), key)
		}
	}
	require.Zero(t, field(filepath.Join(t.TempDir(), "none"), "VmRSS:"))
}

func TestHere(t *testing.T) {
	total, available := System()
	now, peak := Process()
	if runtime.GOOS != "linux" {
		require.Zero(t, total+available+now+peak)
		return
	}
	require.Greater(t, total, available)
	require.Positive(t, now)
	require.GreaterOrEqual(t, peak, now)
	require.Less(t, peak, total)
}
