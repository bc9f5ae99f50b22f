package memstat

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWords(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 5: "5 bytes", 1023: "1023 bytes",
		1 << 10: "1.0 KiB",
		1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB", 1<<20 - 100: "1023.9 KiB", 3 << 29: "1.5 GiB", 1 << 40: "1024.0 GiB"} {
		require.Equal(t, want, Words(bytes), bytes)
	}
}

func TestSetting(t *testing.T) {
	for bytes, want := range map[int64]string{1: "1MiB", 1 << 20: "1MiB", 1<<20 + 1: "2MiB", 3 << 29: "1536MiB"} {
		require.Equal(t, want, Setting(bytes), bytes)
	}
}
