package solver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/tensor"
)

func someState() *State {
	vars := map[string]*tensor.Tensor{"z": tensor.From(noise(1, 24, 1), 1, 2, 3, 4), "u": tensor.From(noise(2, 5, 1),
		5)}
	return &State{Step: 3, Steps: 10, RMS: 0.1, Vars: vars, Run: []Fact{{"kernels", "x"}, {"gamma", "0.1"}}}
}

// TestState: a state comes back from the disk; one that is cut short or has a wrong byte anywhere does not.
func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	want := someState()
	require.NoError(t, want.Write(path))
	got, err := ReadState(path)
	require.NoError(t, err)
	require.Equal(t, want, got)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	bad := func(data []byte) {
		require.NoError(t, os.WriteFile(path, data, 0o644))
		_, err := ReadState(path)
		require.ErrorContains(t, err, path+" is not the whole state of a run: ")
	}
	for n := range len(data) {
		bad(data[:n])
	}
	for i := range data {
		wrong := append([]byte(nil), data...)
		wrong[i] ^= 1
		if string(wrong[:len(data)-192]) != string(data[:len(data)-192]) && wrong[i]|0x20 == ' '|0x20 {
			continue // white space
		}
		bad(wrong)
	}
	bad(append(data, 0))
	bad([]byte("\x89PNG\r\n\x1a\n a picture of the same name"))
	_, err = ReadState(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = ReadState(t.TempDir())
	require.Error(t, err)
}

// FuzzState: bytes are refused, or are a state that is written and read as the same.
func FuzzState(f *testing.F) {
	data, err := someState().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add(append([]byte("{}"), data...))
	odd := someState()
	odd.Step, odd.Vars["z"] = -1, tensor.New(1, 1, 1, 1)
	if data, err = odd.encode(); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			return
		}
		again, err := s.encode()
		require.NoError(t, err)
		same, err := parseState(again)
		require.NoError(t, err)
		require.Equal(t, s, same)
	})
}
