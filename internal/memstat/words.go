package memstat

import "fmt"

// Setting is a size of at least so many bytes as flags and GOMEMLIMIT take it, such as "1536MiB".
func Setting(bytes int64) string { return fmt.Sprintf("%dMiB", (bytes+1<<20-1)>>20) }

// Words is a size of memory in words, such as "1.5 GiB", in the largest unit of which there is at least one: the bytes
// of less than a KiB.
func Words(bytes int64) string {
	switch {
	case bytes == 1:
		return "1 byte"
	case bytes < 1<<10:
		return fmt.Sprintf("%d bytes", bytes)
	}
	units := []string{"KiB", "MiB", "GiB"}
	size, unit := float64(bytes)/(1<<10), 0
	for size >= 1023.95 && unit < len(units)-1 { // else it would round to 1024.0
		size /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
