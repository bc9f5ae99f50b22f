// Package memstat tells how much memory and how many processors there are and how much memory this process has, where
// the system says it as Linux does in /proc. Elsewhere all numbers are 0: unknown.
package memstat

import (
	"math"
	"os"
	"strconv"
	"strings"
)

// System returns the memory that this process may use and what of it is available, in bytes: the machine's, or less
// where a container (cgroup v1 or v2) or a limit of the address space (ulimit -v) allows less.
func System() (total, available int64) {
	total, available = field("/proc/meminfo", "MemTotal:"), field("/proc/meminfo", "MemAvailable:")
	for _, b := range cgroups("/") {
		total, available = lower(total, b.limit), lower(available, max(1, b.limit-b.used))
	}
	if limit := AddressSpace(); limit > 0 {
		total, available = lower(total, limit), lower(available, max(1, limit-field("/proc/self/status", "VmSize:")))
	}
	return total, available
}

// Processors is how many processors this process may keep busy, rounded up, where a container has a quota (cgroup v1
// and v2), 0 for no limit.
func Processors() int { return int(math.Ceil(quota("/"))) }

// lower is the lower of two numbers, 0 for unknown ones.
func lower(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
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
