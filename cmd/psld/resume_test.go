package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld/solver"
	"psld/weights"
)

// hangAfter is the variable by which TestAsCommand runs the command in a process of its own, which hangs once it has
// printed a line with that text.
const hangAfter = "PSLD_TEST_HANG_AFTER"

func TestAsCommand(*testing.T) {
	if text := os.Getenv(hangAfter); text != "" {
		os.Exit(run(context.Background(), flag.Args(), &hanging{text}, os.Stderr))
	}
}

type hanging struct{ text string }

func (h *hanging) Write(p []byte) (int, error) {
	n, err := os.Stdout.Write(p)
	if strings.Contains(string(p), h.text) {
		select {}
	}
	return n, err
}

// killed runs the command in a process of its own and kills it, without any warning, when it has
// printed a line with the text.
func killed(t *testing.T, text string, args ...string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, append([]string{"-test.run=^TestAsCommand$", "--"}, args...)...)
	cmd.Env = append(os.Environ(), hangAfter+"="+text)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(out); ; {
		require.True(t, lines.Scan(), "%s", &log)
		if strings.Contains(lines.Text(), text) {
			break
		}
	}
	require.NoError(t, cmd.Process.Kill())
	_, _ = io.Copy(io.Discard, out)
	require.Error(t, cmd.Wait())
	require.False(t, cmd.ProcessState.Success())
}

// TestKilled: a run that is killed goes on to the same file, from the last state before, with every method and
// with all that is random, twice if need be.
func TestKilled(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "y.png", 24, 20)
	writePicture(t, "small.png", 8, 8)
	model := writeModel(t, nil)
	for name, flags := range map[string]string{
		"psld":    "--in y.png --task denoise --strength 1 --eta 1 --reference --loop-noise 0.05",
		"ldps":    "--task sr4 --method ldps --in small.png",
		"gmldps":  "--in y.png --task deblur-gaussian --kernel-std 3 --method gmldps --strength 0.3 --seed 3",
		"in hole": "--in y.png --task inpaint-random --mask m.png --invert-mask --strength 0.7 --from-diffpir=false",
	} {
		t.Run(name, func(t *testing.T) {
			must(t, "degrade", "--task", "inpaint-random", "--in", "y.png", "--out", "d.png", "--mask-out", "m.png",
				"--missing", "0.3")
			args := append([]string{"restore", "--model", model, "--steps", "12", "--json", "--save-every", "4"},
				strings.Fields(flags)...)
			must(t, append(args, "--out", "whole.png")...)
			require.NoFileExists(t, "whole.png.state")

			args = append(args, "--out", "x.png")
			killed(t, `"step":7,`, args...)
			st, err := solver.ReadState("x.png.state")
			require.NoError(t, err)
			require.Equal(t, 4, st.Step)
			require.NoFileExists(t, "x.png")
			args = append(args, "--resume", "--threads", "1")
			keepThreads(t)
			killed(t, `"step":9,`, args...)
			if name == "in hole" { // the last state is that of the last step
				killed(t, `"step":12,`, args...)
			}
			out, _ := must(t, args...)
			if first, _, _ := strings.Cut(out, "\n"); name == "in hole" {
				require.Contains(t, first, `"steps_done":12,`)
			} else {
				require.Contains(t, first, `"step":9,`)
			}
			want, err := os.ReadFile("whole.png")
			require.NoError(t, err)
			got, err := os.ReadFile("x.png")
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got), "the pictures differ")
			for _, pattern := range []string{"*.state", ".*.tmp"} {
				left, err := filepath.Glob(pattern)
				require.NoError(t, err)
				require.Empty(t, left)
			}
			require.NoError(t, os.Remove("x.png"))
		})
	}
}

// TestStopAndResume: Ctrl-C leaves the picture, the state and the command that goes on; that command does, and nothing
// of it is left behind.
func TestStopAndResume(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "it's y.png", 16, 16)
	model := writeModel(t, nil)
	args := []string{"restore", "--task", "denoise", "--in", "it's y.png", "--model", model, "--steps", "20",
		"--strength", "1", "--seed", "-1"}
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	require.Equal(t, 130, run(ctx, append(args, "--out", "x.png"), &out, &writer{text: "step 10/20", cancel: cancel}))
	require.FileExists(t, "x.png")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3, out.String())
	require.Equal(t, "stopped: the best picture so far is in x.png", lines[0])
	require.Equal(t, "its state is in x.png.state; to go on:", lines[1])
	st, err := solver.ReadState("x.png.state")
	require.NoError(t, err)
	require.Equal(t, 10, st.Step)

	// The same, without the flag.
	ctx, cancel = context.WithCancel(t.Context())
	log := &writer{text: "step  1/20", cancel: cancel}
	require.Equal(t, 130, run(ctx, append(args, "--out", "x.png", "--save-state", "x.png.state"), &bytes.Buffer{}, log))
	require.Contains(t, log.String(), "x.png.state is there from a run that ended after step 10 of 20. --resume goes "+
		"on with that")

	ctx, cancel = context.WithCancel(t.Context())
	out.Reset()
	require.Equal(t, 130, run(ctx, append(args, "--out", "x.png"), &out, &writer{text: "step 10/20", cancel: cancel}))
	_, line, _ := strings.Cut(out.String(), "to go on:\n  psld ")
	require.Contains(t, line, "--in 'it'\\''s y.png' ")
	require.NotContains(t, line, "--seed -1")
	line = strings.Replace(line, `'it'\''s y.png'`, "it's|y.png", 1)
	words := strings.Fields(line)
	for i := range words {
		words[i] = strings.Replace(words[i], "|", " ", 1)
	}
	text, stderr := must(t, words...)
	require.Contains(t, text, "wrote x.png")
	require.Contains(t, stderr, "resume    from x.png.state, after step 10 of 20\n")
	require.Contains(t, stderr, "step 20/20")
	require.Regexp(t, `time      about \S+ from the resume on\n`, stderr)
	require.Regexp(t, `wrote x.png in \S+ from the resume on;`, text)
	require.NoFileExists(t, "x.png.state")
	got := sum(pixels(t, "x.png"))
	i := strings.Index(line, "--seed ")
	must(t, append(args, "--out", "x.png", "--seed", strings.Fields(line[i:])[1])...)
	require.Equal(t, sum(pixels(t, "x.png")), got)

	// A run from the beginning takes the place of the state that is there.
	ctx, cancel = context.WithCancel(t.Context())
	require.Equal(t, 130, run(ctx, append(args, "--out", "x.png"), &out, &writer{text: "step 10/20", cancel: cancel}))
	require.FileExists(t, "x.png.state")
	must(t, append(args, "--out", "x.png")...)
	require.NoFileExists(t, "x.png.state")
}

func TestResumeErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "y.png", 16, 16)
	writePicture(t, "z.png", 16, 16)
	model := writeModel(t, nil)
	other := writeModel(t, func(e []weights.Entry) { e[7].Data[0]++ })
	args := strings.Fields("restore --task denoise --steps 6 --strength 1 --out x.png --in y.png --model " + model)
	killed(t, `"step":4,`, append(args, "--json", "--save-every", "2")...)
	state, err := os.ReadFile("x.png.state")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("cut", state[:len(state)-1], 0o644))
	for flags, want := range map[string]string{
		"--gamma 0.3":                                 "x.png.state is the state of another run: gamma is 0.3, was ",
		"--resume --save-state none":                  "--resume: there is no state none",
		"--save-state cut":                            "cut is not the whole state of a run: ",
		"--save-state y.png":                          "--save-state y.png is another file of this run",
		"--save-state ./x.png":                        "--save-state ./x.png is another file of this run",
		"--save-state z.png":                          "z.png is not the whole state of a run: ",
		"--save-state none/state":                     "--save-state none/state cannot be written: ",
		"--save-state=":                               "--resume needs a state",
		"--seed -1":                                   "--resume needs the seed",
		"--save-every often":                          "--save-every often, want a time such as 10m, or a number of steps",
		"--save-every -1":                             "--save-every -1, want",
		"--save-every -1m":                            "--save-every -1m, want",
		"--resume=false --save-state= --save-every 3": "--save-every has no meaning",
		"--resume=false --save-state z.png": "z.png is not the whole state of a run: safetensors data: not a " +
			"valid safetensors file: it is a picture (PNG); remove it or name another file",
		"--model " + other: "x.png.state is the state of another run: model's unet is another one\n",
		"--dtype bf16":     "x.png.state is the state of another run: precision is ",
		"--resume=false --save-state cut --save-every 10s": "--save-state: cut is not the whole state of a run: ",
		"--seed 43 --reference --squared --back pinv": "squared is true, was false; sample-encoder is true, was " +
			"false; back is pinv, was adjoint; seed is 43, was 42",
		"--task deblur-gaussian --gamma 0.1 --kernel z.png": "z.png",
		"--steps 7": "x.png.state is the state of another run: steps is 7, was 6",
	} {
		t.Run(flags, func(t *testing.T) {
			message := failure(t, append(append(args, "--resume"), strings.Fields(flags)...)...)
			require.Contains(t, message, want)
			require.Equal(t, 1, strings.Count(message, "\n"), message)
		})
	}
	require.NoFileExists(t, "x.png")
	must(t, append(args, "--resume")...) // none of that has hurt it

	require.NoFileExists(t, "x.png.state")
}

// TestNotANumber: the message names step and layer.
func TestNotANumber(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "y.png", 16, 16)
	model := writeModel(t, func(e []weights.Entry) {
		for _, e := range e {
			if e.Name == "mid_block.resnets.0.conv1.weight" {
				for i := range e.Data {
					e.Data[i] = 2e38
				}
			}
		}
	})
	message := failure(t, "restore", "--task", "denoise", "--in", "y.png", "--out", "x.png", "--model", model,
		"--steps", "4", "--strength", "1")
	require.Regexp(t, `^step 1 of 4 \(t=751\): (infinity|not a number) after unet.mid_block.resnets.0.conv1\n$`, message)
}

// TestPace: what was done before a resume does not count, and the first step only as long as it is the only one.
func TestPace(t *testing.T) {
	var log bytes.Buffer
	p := newProgress(&log, "step")
	p.start = time.Now().Add(-10 * time.Second)
	per, left := p.pace(51, 60, 0)
	require.InDelta(t, 10, per.Seconds(), 1)
	require.InDelta(t, 90, left.Seconds(), 10)
	p.first = time.Now().Add(-6 * time.Second)
	per, left = p.pace(54, 60, 0)
	require.InDelta(t, 2, per.Seconds(), 0.5)
	require.InDelta(t, 12, left.Seconds(), 3)
	p.show(54, 60, "note")
	require.Contains(t, log.String(), "step 54/60  2 s/step  12s left  note\n")

	// Steps that are not alike tell their shares, and are believed after some seconds; the others' are a bound where
	// they may end early.
	log.Reset()
	p = newProgress(&log, "step")
	p.pace(1, 20, 0.001)
	p.show(1, 20, "")
	p.pace(2, 20, 0.002)
	p.show(2, 20, "")
	require.NotContains(t, log.String(), "predicted")
	p.start, p.first = time.Now().Add(-9*time.Second), time.Now().Add(-8*time.Second)
	_, left = p.pace(5, 20, 0.201)
	require.InDelta(t, 8/0.2*0.799, left.Seconds(), 2)
	p.atMost = true
	p.show(5, 20, "")
	require.Regexp(t, `predicted: at most 4\ds in all\nstep  5/20  2 s/step  at most 3\ds left`, log.String())
}
