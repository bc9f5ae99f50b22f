// Package memstat tells how much memory there is and how much this process has, where the
// system says it as Linux does in /proc. Elsewhere all numbers are 0: unknown.
package memstat

import (
	"os"
	"strconv"
	"strings"
)

// System returns the machine's memory and what of it is available, in bytes.
func System() (total, available int64) {
	return field("/proc/meminfo", "MemTotal:"), field("/proc/meminfo", "MemAvailable:")
}

// Process returns the resident memory of this process, now and at its peak, in bytes.
func Process() (now, peak int64) {
	return field("/proc/self/status", "VmRSS:"), field("/proc/self/status", "VmHWM:")
}

// field reads a line such as "VmRSS:  1234 kB".
func field(path, key string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut("\n"+string(text), "\n"+key)
	words := strings.Fields(rest)
	if !ok || len(words) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
