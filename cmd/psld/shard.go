package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"psld/psld/eval"
)

// shardOf reads --shard: i/n, or auto for what a cluster says in the environment.
func shardOf(text string, env func(string) string) (s eval.Shard, err error) {
	switch {
	case text == "":
		return s, nil
	case text != "auto":
		i, n, ok := strings.Cut(text, "/")
		index, e1 := strconv.Atoi(i)
		of, e2 := strconv.Atoi(n)
		if !ok || e1 != nil || e2 != nil || of < 1 || index < 1 || index > of {
			return s, fmt.Errorf("--shard %q, want i/n with i from 1 to n, or auto", text)
		}
		return eval.Shard{Index: index - 1, Of: of}, nil
	case env("SLURM_ARRAY_TASK_ID") != "":
		return slurmShard(env)
	case env("JOB_COMPLETION_INDEX") != "":
		n, err := variables(env, "JOB_COMPLETION_INDEX", "PSLD_SHARDS")
		if err == nil && (n[0] < 0 || n[0] >= n[1]) {
			err = fmt.Errorf("JOB_COMPLETION_INDEX is %d of PSLD_SHARDS %d, want 0 to PSLD_SHARDS - 1", n[0], n[1])
		}
		if err != nil {
			return s, fmt.Errorf("--shard auto: %w", err)
		}
		return eval.Shard{Index: n[0], Of: n[1]}, nil
	}
	return s, errors.New("--shard auto: this is no task of a Slurm array (SLURM_ARRAY_TASK_ID) and no pod of an " +
		"indexed Job (JOB_COMPLETION_INDEX): say --shard i/n")
}

// slurmShard is the part of a task of a Slurm array, whose numbers may begin anywhere and have steps.
func slurmShard(env func(string) string) (s eval.Shard, err error) {
	n, err := variables(env, "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX",
		"SLURM_ARRAY_TASK_COUNT")
	if err != nil {
		return s, fmt.Errorf("--shard auto: %w", err)
	}
	id, least, most, count := n[0], n[1], n[2], n[3]
	step := 1
	if text := env("SLURM_ARRAY_TASK_STEP"); text != "" {
		if step, err = strconv.Atoi(text); err != nil || step < 1 {
			return s, fmt.Errorf("--shard auto: SLURM_ARRAY_TASK_STEP is %q, want a number of at least 1", text)
		}
	}
	if id < least || id > most || (id-least)%step != 0 || (most-least)/step+1 != count {
		return s, fmt.Errorf("--shard auto: task %d of a Slurm array of %d from %d to %d: the array must not have "+
			"gaps, as in --array=0-%d", id, count, least, most, max(0, count-1))
	}
	return eval.Shard{Index: (id - least) / step, Of: count}, nil
}

// variables reads numbers from the environment.
func variables(env func(string) string, names ...string) (list []int, err error) {
	for _, name := range names {
		n, err := strconv.Atoi(env(name))
		if err != nil {
			return nil, fmt.Errorf("%s is %q, want a number", name, env(name))
		}
		list = append(list, n)
	}
	return list, nil
}
