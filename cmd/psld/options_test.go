package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1048576": 1 << 20, "512B": 512, "2k": 2048, "1.5KiB": 1536,
		"3MB":  3 << 20,
		"6GiB": 6 << 30, "0.5g": 1 << 29, "1 TiB": 1 << 40} {
		got, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"much", "-1G", "0", "GiB", "1XiB", "1e300", "NaN", "6 gigabytes", "1iB2"} {
		_, err := parseSize(text)
		require.ErrorContains(t, err, "want a size such as", text)
	}
	_, err := parseSize("5")
	require.EqualError(t, err, `"5" is 5 bytes: want a size with its unit, such as 5G or 700M`)
}
