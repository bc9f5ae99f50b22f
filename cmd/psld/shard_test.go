package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/eval"
)

// TestShardOf: parts as people, Slurm and Kubernetes count them.
func TestShardOf(t *testing.T) {
	const slurm = "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=9 "
	for _, c := range []struct {
		text, env, err string
		want           eval.Shard
	}{
		{"", "SLURM_ARRAY_TASK_ID=7", "", eval.Shard{}},
		{"1/4", "", "", eval.Shard{Index: 0, Of: 4}},
		{"4/4", "", "", eval.Shard{Index: 3, Of: 4}},
		{"5/4", "", "want i/n with i from 1 to n", eval.Shard{}},
		{"a/4", "", "want i/n", eval.Shard{}},
		{"3", "", "want i/n", eval.Shard{}},
		{"auto", "", "no task of a Slurm array", eval.Shard{}},
		{"auto", slurm + "SLURM_ARRAY_TASK_COUNT=7", "", eval.Shard{Index: 4, Of: 7}},
		{"auto", slurm + "SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_STEP=2", "", eval.Shard{Index: 2, Of: 4}},
		{"auto", slurm + "SLURM_ARRAY_TASK_COUNT=3", "must not have gaps", eval.Shard{}},
		{"auto", slurm, `SLURM_ARRAY_TASK_COUNT is ""`, eval.Shard{}},
		{"auto", "JOB_COMPLETION_INDEX=0 PSLD_SHARDS=2", "", eval.Shard{Index: 0, Of: 2}},
		{"auto", "JOB_COMPLETION_INDEX=2 PSLD_SHARDS=2", "want 0 to PSLD_SHARDS - 1", eval.Shard{}},
		{"auto", "JOB_COMPLETION_INDEX=2", `PSLD_SHARDS is ""`, eval.Shard{}},
	} {
		env := map[string]string{}
		for _, word := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(word, "=")
			env[name] = value
		}
		got, err := shardOf(c.text, func(name string) string { return env[name] })
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.text+c.env)
			continue
		}
		require.NoError(t, err, c.text+c.env)
		require.Equal(t, c.want, got, c.text+c.env)
	}
}

// TestTaskConfig: eval measures what the task files of other repositories say, and refuses what it does not know.
func TestTaskConfig(t *testing.T) {
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	require.NoError(t, os.Mkdir(photos, 0o755))
	writePicture(t, filepath.Join(photos, "a.png"), 40, 32)
	write := func(name, operator string) string {
		path := filepath.Join(dir, name)
		text := "data: {name: ffhq}\nmeasurement:\n  operator: " + operator + "\n  noise: {name: gaussian, sigma: 0.1}\n"
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	sr := write("sr.yaml", "{name: super_resolution, scale_factor: 4, in_shape: !!python/tuple [1, 3, 24, 24]}")
	blur := write("blur.yaml", "{name: gaussian_blur, kernel_size: 61, intensity: 2}")
	out := filepath.Join(dir, "out")
	args := []string{"eval", "--data", photos, "--n", "1", "--methods", "tv", "--task-config"}
	table, log := must(t, append(args, sr+","+blur, "--out", out)...)
	require.Contains(t, table, "| sr4 | tv | 1 |")
	require.Contains(t, table, "| deblur-gaussian | tv | 1 |")
	require.Contains(t, log, "1 pictures of 24x24")
	require.Contains(t, log, "not taken: data map[name:ffhq]")
	text, err := os.ReadFile(filepath.Join(out, "table.md"))
	require.NoError(t, err)
	require.Contains(t, string(text), "deblur-gaussian: noise of deviation 0.1 on [-1,1] (0.05 on [0,1]), kernel-std 2\n")
	require.Contains(t, failure(t, append(args, sr, "--size", "32")...), "for pictures of 24 pixels a side, --size")
	require.Contains(t, failure(t, append(args, sr+","+sr)...), "two files of task sr4")
	require.Contains(t, failure(t, append(args, sr, "--tasks", "sr4")...), "leave these out")
	phase := write("phase.yaml", "{name: phase_retrieval, oversample: 2}")
	require.Contains(t, failure(t, append(args, phase)...), `phase.yaml: operator "phase_retrieval" is not understood`)
}
