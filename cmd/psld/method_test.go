package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/solver"
	"psld/tensor"
)

// toy is all that a method of another package takes: noisy gradient steps in the prior's state. The test below runs
// it by the command, which knows of it by Register alone.
type toy struct {
	Steps int     `json:"steps" range:"1..100" default:"12" help:"steps of descent"`
	Rate  float64 `json:"toy_rate" range:"0.." default:"0.001" help:"length of a step"`
}

func init() {
	solver.Register(solver.Spec{Name: "toy", Doc: "noisy descent, for tests", Needs: solver.Needs{Prior: true,
		Gradient: true},
		New: func() solver.Method { return new(toy) }})
}

func (o *toy) Bind(r *solver.Run) (solver.Stepper, error) { return &descent{*o, r}, nil }

type descent struct {
	toy
	r *solver.Run
}

func (d *descent) Len() int { return d.Steps }

func (d *descent) Start(s *solver.State) error {
	s.Set("z", d.r.Noise("toy start", 0, tensor.Len(d.r.Shape())), d.r.Shape()...)
	return nil
}

func (d *descent) Step(_ context.Context, s *solver.State) (solver.Report, error) {
	g := d.r.Graph()
	defer g.Release()
	z := g.Input(s.Vars["z"])
	ax := operator.Lower(g, d.r.Crop(g, d.r.Decode(g, z)), d.r.A)
	loss := g.SumSquares(g.Sub(ax, g.Const(tensor.From(d.r.Y, ax.T.Shape...))))
	value := d.r.Backward(g, loss)
	next := d.r.Noise("toy", s.Step, z.T.Len())
	for i, v := range g.Device().Host(z.Grad()) {
		next[i] = s.Vars["z"].Data[i] - float32(d.Rate)*v + 0.01*next[i]
	}
	s.Set("z", next, z.T.Shape...)
	return solver.Report{Loss: value, Measurement: math.Sqrt(value)}, nil
}

func (d *descent) Picture(s *solver.State) ([]float32, error) {
	return d.r.DecodePicture(s.Vars["z"]), nil
}

// TestMethodOfAnotherPackage: a registered method is listed, has flags that are checked, runs, is cancelled, is
// killed and goes on to the same file, and is searched for what is not finite.
func TestMethodOfAnotherPackage(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "y.png", 24, 20)
	model := writeModel(t, nil)
	text, _ := must(t, "help", "restore")
	require.Regexp(t, `\n  toy +noisy descent, for tests\n`, text)
	require.Contains(t, text, "--toy-rate length      length of a step (default: the task's preset, else 0.001)")

	args := []string{"restore", "--task", "denoise", "--method", "toy", "--in", "y.png", "--model", model}
	require.Contains(t, failure(t, append(args, "--out", "x.png", "--steps", "200")...), "--steps 200, want 1 to 100")
	require.Contains(t, failure(t, append(args, "--out", "x.png", "--gamma", "1")...),
		"--gamma has no meaning for method toy")
	_, said := must(t, append(args, "--out", "whole.png", "--toy-rate", "0.002")...)
	require.Contains(t, said, "method    toy, 12 steps, toy rate 0.002, seed 42\n")
	require.Contains(t, said, "warning   the restoration is far from the measurement (") // noise, by an untrained model

	args = append(args, "--json", "--save-every", "4", "--out", "x.png", "--toy-rate", "0.002")
	killed(t, `"step":7,`, args...)
	st, err := solver.ReadState("x.png.state")
	require.NoError(t, err)
	require.Equal(t, 4, st.Step)
	require.Contains(t, failure(t, append(args, "--resume", "--toy-rate", "0.003")...), "toy-rate is 0.003, was 0.002")
	ctx, cancel := context.WithCancel(t.Context())
	require.Equal(t, 130, run(ctx, append(args, "--resume"), &writer{text: `"step":6,`, cancel: cancel},
		&bytes.Buffer{}))
	out, _ := must(t, append(args, "--resume")...)
	require.Contains(t, out, `"step":7,`)
	require.NotContains(t, out, `"step":6,`)
	require.Contains(t, out, `"warning":"the restoration is far from the measurement (`)
	want, err := os.ReadFile("whole.png")
	require.NoError(t, err)
	got, err := os.ReadFile("x.png")
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the pictures differ")

	require.Regexp(t, `^step \d+ of 12: (infinity|not a number) `, failure(t, append(args, "--toy-rate", "3e38")...))
}

// TestTotalVariation: a method that needs no model opens none; it is killed and goes on to the same file as any other.
func TestTotalVariation(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "y.png", 24, 20)
	args := strings.Fields("restore --task denoise --method tv --in y.png --iterations 12 --tol 1e-9 --json")
	must(t, append(args, "--out", "whole.png")...)
	args = append(args, "--save-every", "4", "--out", "x.png")
	killed(t, `"step":7,`, args...)
	out, _ := must(t, append(args, "--resume")...)
	first, _, _ := strings.Cut(out, "\n")
	require.Contains(t, first, `"step":5,`)
	want, err := os.ReadFile("whole.png")
	require.NoError(t, err)
	got, err := os.ReadFile("x.png")
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the pictures differ")
	require.Contains(t, failure(t, append(args, "--resume", "--gamma", "1")...), "--gamma has no meaning for method tv")
	require.Contains(t, failure(t, append(args, "--prompt", "a rose")...), "--prompt has no meaning for method tv")
}
