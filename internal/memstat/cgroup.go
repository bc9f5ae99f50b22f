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

// cgroups are the groups of this process whose memory has a limit. root is "/", or a folder in its place for tests.
func cgroups(root string) (all []budget) {
	walk(root, "memory", func(dir string, v2 bool) {
		files := [3]string{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "}
		if v2 {
			files = [3]string{"memory.max", "memory.current", "inactive_file "}
		}
		if b, ok := readBudget(dir, files); ok {
			all = append(all, b)
		}
	})
	return all
}

// quota is the least number of processors that the groups of this process may keep busy, 0 for no limit.
func quota(root string) (least float64) {
	walk(root, "cpu", func(dir string, v2 bool) {
		time, period := readNumber(filepath.Join(dir, "cpu.cfs_quota_us")), readNumber(filepath.Join(dir,
			"cpu.cfs_period_us")) // v1: -1 for no limit
		if v2 {
			text, _ := os.ReadFile(filepath.Join(dir, "cpu.max")) // "200000 100000", or "max 100000"
			words := strings.Fields(string(text))
			if len(words) != 2 {
				return
			}
			time, _ = strconv.ParseInt(words[0], 10, 64)
			period, _ = strconv.ParseInt(words[1], 10, 64)
		}
		if n := float64(time) / float64(period); time > 0 && period > 0 && (least == 0 || n < least) {
			least = n
		}
	})
	return least
}

// walk calls f with the folder of each group of this process that has a controller, and of all groups above it: their
// limits count as well.
func walk(root, controller string, f func(dir string, v2 bool)) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		if len(parts) != 3 {
			continue
		}
		mount, v2 := "sys/fs/cgroup", parts[1] == ""
		if !v2 {
			if !hasWord(parts[1], controller) {
				continue
			}
			mount = filepath.Join(mount, controller)
		}
		// In a container the path may be that of the host: then only its end, the root, is there.
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			f(filepath.Join(root, mount, at), v2)
			if at == "/" {
				break
			}
		}
	}
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
