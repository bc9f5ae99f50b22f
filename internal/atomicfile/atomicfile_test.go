package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	put := func(s string, fail error) error {
		return Write(path, func(w io.Writer) error {
			_, err := io.WriteString(w, s)
			return errors.Join(err, fail)
		})
	}
	require.NoError(t, put("one", nil))
	bad := errors.New("bad")
	require.ErrorIs(t, put("two", bad), bad)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "one", string(b))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Error(t, Write(filepath.Join(dir, "missing", "b"), func(io.Writer) error { return nil }))
}
