package memstat

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuota(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  float64
	}{
		"v2, the lower one is above": {map[string]string{
			"proc/self/cgroup":          "0::/a/b\n",
			"sys/fs/cgroup/a/b/cpu.max": "300000 100000\n",
			"sys/fs/cgroup/a/cpu.max":   "75000 50000\n",
			"sys/fs/cgroup/cpu.max":     "max 100000\n",
		}, 1.5},
		"v1, both names of the controller": {map[string]string{
			"proc/self/cgroup":                           "11:cpu,cpuacct:/docker/1\n5:memory:/docker/1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":         "50000\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":        "100000\n",
			"sys/fs/cgroup/memory/cpu.cfs_quota_us":      "1\n",
			"sys/fs/cgroup/memory/cpu.cfs_period_us":     "100000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000",
		}, 0.5},
		"v1 without a limit": {map[string]string{
			"proc/self/cgroup":                    "4:cpu:/\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":  "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, 0},
		"nonsense": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "many 0\n"}, 0},
		"none":     {nil, 0},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, quota(tree(t, c.files))) })
	}
}

// tree writes files into a new folder.
func tree(t *testing.T, files map[string]string) (root string) {
	root = t.TempDir()
	for file, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, file), []byte(text), 0o644))
	}
	return root
}

func TestCgroups(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []budget
	}{
		"v2, a limit in the group and one above": {map[string]string{
			"proc/self/cgroup":                    "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max":        "3000\n",
			"sys/fs/cgroup/a/b/memory.current":    "1000\n",
			"sys/fs/cgroup/a/b/memory.stat":       "anon 5\ninactive_file 400\nactive_file 9\n",
			"sys/fs/cgroup/a/memory.max":          "2000\n",
			"sys/fs/cgroup/a/memory.current":      "1500\n",
			"sys/fs/cgroup/memory.max":            "max\n",
			"sys/fs/cgroup/unrelated/memory.max":  "1\n",
			"sys/fs/cgroup/a/b/memory.swap.max":   "7\n",
			"sys/fs/cgroup/a/b/memory.high":       "8\n",
			"sys/fs/cgroup/a/memory.stat":         "inactive_file many\n",
			"sys/fs/cgroup/a/b/memory.stat.extra": "",
		}, []budget{{3000, 600}, {2000, 1500}}},
		"v1 of a container, whose path is the host's": {map[string]string{
			"proc/self/cgroup":                           "11:cpu,cpuacct:/x\n5:memory:/docker/123\n0::/docker/123\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "4000",
			"sys/fs/cgroup/memory/memory.stat":           "inactive_file 1\ntotal_inactive_file 500\n",
		}, []budget{{5000, 3500}}},
		"v1 without a limit": {map[string]string{
			"proc/self/cgroup":                           "5:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
		}, nil},
		"none": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, cgroups(tree(t, c.files)))
		})
	}
	require.Equal(t, int64(2), lower(2, 0))
	require.Equal(t, int64(2), lower(0, 2))
	require.Equal(t, int64(1), lower(2, 1))
}
