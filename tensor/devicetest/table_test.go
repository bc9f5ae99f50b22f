package devicetest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the table of operations into docs/gpu.md")

// TestTable: the table of docs/gpu.md lists the operations of the suite, and for each backend those that its source
// does not say it lacks. go test ./tensor/devicetest -run TestTable -update writes it.
func TestTable(t *testing.T) {
	const begin, end, path = "<!-- operations -->\n", "<!-- end of operations -->", "../../docs/gpu.md"
	cases, order := map[string]int{}, []string(nil)
	for _, c := range Check() {
		if cases[c.Op]++; cases[c.Op] == 1 {
			order = append(order, c.Op)
		}
	}
	backends := []string{"cpu", "vulkan", "cuda"}
	table := "| operation | cases | " + strings.Join(backends, " | ") + " |\n| --- | ---: |" +
		strings.Repeat(" --- |", len(backends)) + "\n"
	for _, op := range order {
		table += fmt.Sprintf("| %s | %d |", op, cases[op])
		for _, b := range backends {
			table += " " + has(t, b, op) + " |"
		}
		table += "\n"
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	have, tail, found := strings.Cut(rest, end)
	require.True(t, found)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(head+begin+table+end+tail), 0o644))
		return
	}
	require.Equal(t, table, have, "docs/gpu.md: go test ./tensor/devicetest -run TestTable -update")
}

// has tells whether the package of a backend lacks an operation, or what it is made of.
func has(t *testing.T, backend, op string) string {
	files, err := filepath.Glob("../" + backend + "/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	lacks := regexp.MustCompile(`NotImplemented\{[^}]*"` + op + `(Grad\w*)?"`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if !strings.HasSuffix(file, "_test.go") && lacks.Match(text) {
			return "no"
		}
	}
	return "yes"
}
