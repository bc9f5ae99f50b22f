package server

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/client"
	"psld/psld/param"
	"psld/psld/picture"
)

// TestDoubtNote: a job whose result is far from the measurement says so, another one does not.
func TestDoubtNote(t *testing.T) {
	_, c := serving(t, tiny(t.TempDir()))
	p := picture.New(16, 16)
	for i := range p.Pix {
		p.Pix[i] = float32(i%7)/3.5 - 1
	}
	var b bytes.Buffer
	require.NoError(t, picture.EncodePNG(&b, p))
	sigma := 0.03
	for lambda, want := range map[float64]bool{100: true, 0.001: false} { // flat, and nearly the measurement
		j, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(b.Bytes())}, client.JobOptions{
			Task: "denoise", Method: "tv", Sigma: &sigma, Params: param.Values{"lambda": lambda}})
		require.NoError(t, err)
		j, err = c.Wait(t.Context(), j.ID, nil)
		require.NoError(t, err)
		require.Equal(t, client.Done, j.State, j.Error)
		require.Equal(t, want, strings.Contains(strings.Join(j.Notes, "\n"),
			"sample 1: the restoration is far from the measurement"), "%v", j.Notes)
	}
}
