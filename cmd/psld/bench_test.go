package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
)

func TestBenchJSON(t *testing.T) {
	out, _ := must(t, "bench", "kernels", "--json", "--quick", "--filter", "^(Linear|LayerNorm)/", "--seconds", "0")
	ops := map[string]int{}
	for line := range strings.Lines(out) {
		var row struct {
			Op, Shape, DType, Tier string
			Threads                int
			GFLOPS, Fraction       float64
			CeilingGFLOPS          float64 `json:"ceiling_gflops"`
			GBs                    float64
			CeilingGBs             float64 `json:"ceiling_gbs"`
			Err                    float64 `json:"err_rel_l2"`
		}
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&row), line)
		require.NotEmpty(t, row.Shape)
		require.Positive(t, row.Threads)
		require.Positive(t, row.Fraction)
		ops[row.Op+"/"+row.DType]++
		if row.Op == "ceiling" {
			continue
		}
		require.Equal(t, asm.Active().String(), row.Tier)
		require.Positive(t, row.GFLOPS)
		require.Positive(t, row.CeilingGFLOPS)
		require.Equal(t, row.Op == "LayerNorm", row.GBs > 0 && row.CeilingGBs > 0)
		require.Positive(t, row.Err)
		require.Less(t, row.Err, map[string]float64{"f32": 1e-5, "f32x3": 1e-5, "bf16": 1e-2}[row.DType])
	}
	require.Positive(t, ops["ceiling/f32"])
	delete(ops, "ceiling/f32")
	delete(ops, "ceiling/bf16")
	want := map[string]int{"Linear/f32": 1, "Linear/bf16": 1, "LayerNorm/f32": 1}
	if asm.HasSplit() {
		want["Linear/f32x3"] = 1
	}
	require.Equal(t, want, ops)
}

// Every wrong flag is one line that names it.
func TestBenchErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"--filter: error parsing regexp":           {"--filter", "["},
		"matches no operation":                     {"--filter", "none of these"},
		`--tier "sse9", this machine has [generic`: {"--tier", "sse9"},
		"--seconds -1, want":                       {"--seconds", "-1"},
		"--seconds NaN, want":                      {"--seconds", "nan"},
		"--threads -1, want":                       {"--threads", "-1"},
	} {
		t.Run(want, func(t *testing.T) {
			message := failure(t, append([]string{"bench", "kernels"}, args...)...)
			require.Contains(t, message, want)
			require.Equal(t, 1, strings.Count(message, "\n"), message)
		})
	}
}

// The table has aligned columns and the means of its groups.
func TestBenchTable(t *testing.T) {
	out, _ := must(t, "bench", "kernels", "--quick", "--tier", "generic", "--filter", "^(Add|Softmax.*)/",
		"--seconds", "0")
	_, table, found := strings.Cut(out, "operation ")
	require.True(t, found, out)
	table, means, found := strings.Cut("operation "+table, "\n\n")
	require.True(t, found, out)
	lines := strings.Split(table, "\n")
	require.Len(t, lines, 4)
	for _, line := range lines {
		require.Len(t, line, len(lines[0]), table)
	}
	require.Contains(t, means, "norms, softmax f32")
	require.Contains(t, means, "element-wise f32")
}
