package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestYAML(t *testing.T) {
	var v struct {
		A int            `yaml:"a"`
		M map[string]int `yaml:"m"`
	}
	require.NoError(t, YAML([]byte("a: 3\nm: {x: 1, y: 2}\n---\na: 4"), &v, true))
	require.Equal(t, 3, v.A)
	require.Equal(t, map[string]int{"x": 1, "y": 2}, v.M)
	require.NoError(t, YAML(nil, &v, true))
	require.NoError(t, YAML([]byte("b: 1"), &v, false))
	require.ErrorContains(t, YAML([]byte("b: 1"), &v, true), "b not found")
	require.ErrorContains(t, YAML([]byte("a: ["), &v, true), "line 1")

	// Too many keys in one mapping, wherever it stands.
	var keys strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&keys, "   k%d: 1\n", i)
	}
	for _, text := range []string{keys.String(), "m:\n" + keys.String(), "a: 1\nm:\n - 1\n -\n" + keys.String()} {
		require.ErrorContains(t, YAML([]byte(text), &v, true), "more than 1000 keys")
	}
	require.ErrorContains(t, YAML(make([]byte, 5<<20), &v, true), "4 MiB")
}
