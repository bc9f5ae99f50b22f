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

// TestMethodsByName: those alone that are named; a flag of others says whose it is.
func TestMethodsByName(t *testing.T) {
	out, _ := must(t, "methods", "dpm", "tv")
	require.Contains(t, out, "DPM-Solver++(2M)")
	require.Contains(t, out, "total variation")
	require.NotContains(t, out, "DiffPIR")
	require.Contains(t, failure(t, "methods", "dmp"), `did you mean "dpm"?`)
	require.Contains(t, failure(t, "methods", "tv", "--json"), "--presets and --json print all methods, not tv alone")
	require.Contains(t, failure(t, "eval", "--data", ".", "--methods", "tv", "--guesses", "2", "--out", t.TempDir()),
		"--guesses has no meaning for method tv, but for guess\n")
}
