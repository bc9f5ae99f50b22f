package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestIsClosed: the null device in place of a closed file is open for reading and writing.
func TestIsClosed(t *testing.T) {
	for path, flags := range map[string]int{os.DevNull: os.O_WRONLY,
		filepath.Join(t.TempDir(), "a"): os.O_RDWR | os.O_CREATE} {
		f, err := os.OpenFile(path, flags, 0o600)
		require.NoError(t, err)
		require.False(t, isClosed(f))
		require.NoError(t, f.Close())
	}
	if runtime.GOOS != "linux" {
		return
	}
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	require.True(t, isClosed(f))
	old := os.Stdout
	defer func() { os.Stdout = old }()
	os.Stdout = f
	require.Contains(t, failure(t, "restore", "--task", "denoise", "--in", "x.png", "--out", "-"),
		"--out -: standard output is closed")
}
