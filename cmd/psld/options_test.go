package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1": 1, "512B": 512, "2k": 2048, "1.5KiB": 1536, "3MB": 3 << 20,
		"6GiB": 6 << 30, "0.5g": 1 << 29, "1 TiB": 1 << 40} {
		got, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"much", "-1G", "0", "GiB", "1XiB", "1e300", "NaN", "6 gigabytes", "1iB2"} {
		_, err := parseSize(text)
		require.ErrorContains(t, err, "want a size such as", text)
	}
}
