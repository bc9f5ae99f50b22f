package memstat

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// budget is the memory of a control group, in bytes.
type budget struct{ limit, used int64 }

// cgroups are the groups of this process that have a limit, each with all groups above it: those count as well. root
// is "/", or a folder in its place for tests.
func cgroups(root string) (all []budget) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		if len(parts) != 3 {
			continue
		}
		mount, files := "sys/fs/cgroup", [3]string{"memory.max", "memory.current", "inactive_file "} // v2
		if parts[1] != "" {
			if !hasWord(parts[1], "memory") {
				continue
			}
			mount, files = "sys/fs/cgroup/memory", [3]string{"memory.limit_in_bytes", "memory.usage_in_bytes",
				"total_inactive_file "}
		}
		// In a container the path may be that of the host: then only its end, the root, is there.
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			if b, ok := readBudget(filepath.Join(root, mount, at), files); ok {
				all = append(all, b)
			}
			if at == "/" {
				break
			}
		}
	}
	return all
}

func hasWord(list, word string) bool { return strings.Contains(","+list+",", ","+word+",") }

// readBudget reads limit and use; file pages that nobody has touched for a while are given back at once, they do not
// count as used.
func readBudget(dir string, files [3]string) (b budget, ok bool) {
	limit := readNumber(filepath.Join(dir, files[0]))
	if limit <= 0 || limit > math.MaxInt64/2 { // "max", or as much as a number holds
		return b, false
	}
	used := readNumber(filepath.Join(dir, files[1]))
	stat, _ := os.ReadFile(filepath.Join(dir, "memory.stat"))
	for line := range strings.Lines(string(stat)) {
		if v, found := strings.CutPrefix(line, files[2]); found {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			used -= n
		}
	}
	return budget{limit, max(0, used)}, true
}

// readNumber is 0 where the file holds none.
func readNumber(name string) int64 {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
