package main

import (
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
