package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/task"
)

// TestTaskInOnePlace: a task that is registered, here, is in every list, and is degraded, restored and measured by the
// commands that know nothing of it.
func TestTaskInOnePlace(t *testing.T) {
	remove, err := task.Register(&task.Task{
		Name: "half", Scale: 2, TV: 0.01,
		Lost:  "every other row and column",
		Looks: "The picture is small.",
		Does:  "enlarge two times what was meaned over blocks",
		Operator: func(h, w int, _ task.Damage) (operator.Linear, error) {
			return operator.NewAveragePool(h, w, 3, 2)
		},
		Parameters: []task.Parameter{{Name: "nothing", Usage: "`number` that does nothing", Default: 1, Most: 2}},
		Draw:       func(_, _ int, _ task.Values, _ uint64) (task.Damage, error) { return task.Damage{}, nil },
	})
	require.NoError(t, err)
	defer remove()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("x.png"), 40, 32)
	out, _ := must(t, "help")
	require.Contains(t, out, "denoise, half.")
	out, _ = must(t, "help", "restore")
	require.Contains(t, out, "  half             enlarge two times what was meaned over blocks\n")
	out, _ = must(t, "help", "degrade")
	require.Contains(t, out, "--nothing number       number that does nothing (half) (default 1)")
	require.Contains(t, failure(t, "restore", "--task", "hal", "--in", "a", "--out", "b"), "denoise, half")

	must(t, "degrade", "--task", "half", "--nothing", "2", "--in", at("x.png"), "--out", at("y.png"))
	y := pixels(t, at("y.png"))
	require.Equal(t, [2]int{20, 16}, [2]int{y.W, y.H})
	for flags, want := range map[string]string{
		"--task half --nothing 3":    "--nothing 3, want more than 0 and at most 2",
		"--task denoise --nothing 1": "--nothing has no meaning for task denoise",
		"--task half --mask m":       "--mask has no meaning for task half",
	} {
		args := strings.Fields("degrade --in " + at("x.png") + " --out " + at("z.png") + " " + flags)
		require.Contains(t, failure(t, args...), want)
	}
	model := writeModel(t, nil)
	must(t, "restore", "--task", "half", "--steps", "2", "--model", model, "--in", at("y.png"), "--out", at("r.png"))
	r := pixels(t, at("r.png"))
	require.Equal(t, [2]int{40, 32}, [2]int{r.W, r.H})
	must(t, "restore", "--task", "half", "--method", "tv", "--in", at("y.png"), "--out", at("v.png"))
	out, _ = must(t, "eval", "--data", dir, "--n", "1", "--size", "16", "--tasks", "half", "--methods", "tv",
		"--model", model)
	require.Contains(t, out, "| half | tv | 1 |")
}
