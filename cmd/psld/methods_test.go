package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/param"
	"psld/psld/solver"
	"psld/psld/task"
)

// TestMethods: every method with its parameters and every task are listed.
func TestMethods(t *testing.T) {
	out, _ := must(t, "methods")
	for _, s := range solver.Specs() {
		require.Contains(t, out, s.Doc)
		for _, f := range param.Fields(s.New()) {
			require.Contains(t, out, f.Help)
		}
	}
	for _, a := range task.All() {
		require.Contains(t, out, string(a.Name)+" ")
	}
	require.Contains(t, out, "denoise          take out noise; best method here: diffpir")
}
