package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/nn"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/weights"
)

// start runs the program in-process.
func start(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	code = run(t.Context(), args, &out, &log)
	return code, out.String(), log.String()
}

// must runs the program and wants exit code 0.
func must(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := start(t, args...)
	require.Equal(t, 0, code, "psld %v\n%s", args, stderr)
	return stdout, stderr
}

// splitError splits what was logged into the one error at its end and what came before.
func splitError(t *testing.T, stderr string) (before, message string) {
	t.Helper()
	require.NotContains(t, stderr, "panic")
	before, message, found := strings.Cut("\n"+stderr, "\npsld: ")
	require.True(t, found, stderr)
	require.NotContains(t, message, "\npsld: ")
	return before, message
}

// failure runs the program, wants exit code 1 and returns the error.
func failure(t *testing.T, args ...string) string {
	t.Helper()
	code, _, stderr := start(t, args...)
	require.Equal(t, 1, code, "psld %v\n%s", args, stderr)
	_, message := splitError(t, stderr)
	return message
}

// writeModel saves a tiny random model as psld train does; change may spoil the UNet's entries.
func writeModel(t *testing.T, change func([]weights.Entry)) string {
	t.Helper()
	m := prior.RandomTiny(1)
	dir := t.TempDir()
	save := func(name string, p *nn.Params, config any, meta map[string]string) {
		cfg, err := json.Marshal(config)
		require.NoError(t, err)
		meta["config"] = string(cfg)
		var entries []weights.Entry
		for _, q := range p.All() {
			entries = append(entries, weights.Entry{Name: q.Name, DType: weights.F32, Shape: q.Value.T.Shape,
				Data: q.Value.T.Data})
		}
		if change != nil && name == "unet" {
			change(entries)
		}
		require.NoError(t, weights.Write(filepath.Join(dir, name+".safetensors"), entries, meta))
	}
	save("vae", m.VAE.Params, m.VAE.Config, map[string]string{"kind": "vae"})
	save("unet", m.UNet.Params, m.UNet.Config, map[string]string{"kind": "unet", "vae_scaling_factor": "1", "size": "16"})
	return dir
}

// writePicture saves a smooth w x h picture without black pixels.
func writePicture(t *testing.T, path string, w, h int) *picture.Picture {
	t.Helper()
	p := picture.New(w, h)
	for i := range p.Pix {
		p.Pix[i] = float32(0.6 * math.Sin(float64(i)/40))
	}
	require.NoError(t, picture.Save(path, p))
	p, err := picture.Load(path) // as 8 bits have it
	require.NoError(t, err)
	return p
}

// pngHeader is the start of a PNG of w x h pixels without any.
func pngHeader(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR")
	b = binary.BigEndian.AppendUint32(b, w)
	b = binary.BigEndian.AppendUint32(b, h)
	b = append(b, 8, 2, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:]))
}

func TestForcedKernels(t *testing.T) {
	if asm.Forced() != nil {
		t.Skip("PSLD_KERNELS names a tier that is not here")
	}
	out, _ := must(t, "info", "--model", writeModel(t, nil))
	require.Contains(t, out, "kernels    "+asm.Active().String())
	require.Contains(t, out, "trained at 16x16")
	require.Contains(t, out, "CC BY 2.0")
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		out, _ := must(t, args...)
		for _, v := range verbs {
			require.Contains(t, out, v.name)
		}
		require.Contains(t, out, "CC BY 2.0")
	}
	for _, v := range verbs {
		out, _ := must(t, "help", v.name)
		same, _ := must(t, v.name, "-h")
		require.Equal(t, out, same)
		require.Regexp(t, "(?m)^(Flags|Files):$", out)
		_, flags, _ := strings.Cut(out, ":\n  --")
		for line := range strings.Lines(flags) {
			require.LessOrEqual(t, len(strings.TrimSpace(line)), 100, line)
		}
	}
	out, _ := must(t, "help", "restore") // its flags have headings, which know all of them
	require.NotContains(t, out, "\nFlags:\n")
	require.Contains(t, out, "\nThe damage:\n  --invert-mask ")
	require.Contains(t, out, "\nParameters of methods:\n  --back how ")
	out, _ = must(t, "version")
	require.Contains(t, out, "go1")
}

// Every task through degrade and restore: sizes, known pixels, settings in the file.
func TestDegradeRestore(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	model := writeModel(t, nil)
	x := writePicture(t, at("x.png"), 37, 30)
	hole := picture.New(37, 30)
	for i := 300; i < 500*3; i++ {
		hole.Pix[i] = 1
	}
	require.NoError(t, picture.Save(at("hole.png"), hole))
	for _, c := range []struct {
		task              string
		degrade, restore  []string
		measured, missing int // missing pixels
	}{
		{"inpaint", []string{"--mask", at("hole.png")}, []string{"--mask", at("hole.png")}, 37 * 30, 400},
		{"inpaint-random", []string{"--mask-out", at("m.png"), "--missing", "0.5"}, []string{"--mask", at("m.png")}, 37 * 30,
			555},
		{"inpaint-random", nil, nil, 37 * 30, 777},
		{"inpaint-box", []string{"--mask-out", at("m.png"), "--box", "0.25"}, []string{"--mask", at("m.png"),
			"--method", "ldps"}, 37 * 30, 8 * 9},
		{"sr4", nil, []string{"--back", "reference", "--sheet", at("s.png")}, 10 * 8, 0},
		{"deblur-gaussian", []string{"--kernel-std", "1", "--kernel-out", at("k.png")}, []string{"--kernel", at("k.png"),
			"--method", "gmldps"}, 37 * 30, 0},
		{"deblur-gaussian", nil, []string{"--kernel-std", "3", "--sigma", "12/255"}, 37 * 30, 0},
		{"deblur-motion", []string{"--motion-length", "5", "--motion-angle", "30"},
			[]string{"--motion-length", "5", "--motion-angle", "30"}, 37 * 30, 0},
		{"deblur-motion", []string{"--kernel-out", at("k.png")}, []string{"--kernel", at("k.png"), "--squared"}, 37 * 30, 0},
		{"denoise", []string{"--sigma", "0.2"}, []string{"--gamma", "0", "--omega", "0.1", "--eta", "0.5"}, 37 * 30, 0},
	} {
		t.Run(c.task, func(t *testing.T) {
			out, _ := must(t, append([]string{"degrade", "--task", c.task, "--in", at("x.png"), "--out", at("y.png"),
				"--seed", "3"}, c.degrade...)...)
			require.Contains(t, out, "seed 3")
			require.Contains(t, out, "on [0,1]")
			y, err := picture.Load(at("y.png"))
			require.NoError(t, err)
			require.Equal(t, c.measured, y.W*y.H)
			if c.missing > 0 {
				require.Contains(t, out, fmt.Sprintf("%d of %d pixels missing", c.missing, 37*30))
			}
			out, log := must(t, append([]string{"restore", "--task", c.task, "--in", at("y.png"), "--out", at("r.png"),
				"--model", model, "--steps", "4"}, c.restore...)...)
			require.Contains(t, out, at("r.png"))
			require.Contains(t, log, "kernels "+asm.Active().String())
			require.Contains(t, log, "in one piece (larger than the 16x16 pictures of the training)")
			if !strings.Contains(log, "from diffpir true") { // whose steps are not alike: there it takes two seconds
				require.Contains(t, log, "predicted: about")
			}
			r, err := picture.Load(at("r.png"))
			require.NoError(t, err)
			if c.task == "sr4" { // ceil(37/4) and ceil(30/4), times 4
				require.Equal(t, [2]int{40, 32}, [2]int{r.W, r.H})
				_, err := picture.Load(at("s.png"))
				require.NoError(t, err)
			} else {
				require.Equal(t, [2]int{x.W, x.H}, [2]int{r.W, r.H})
			}
			if c.missing > 0 {
				same := 0
				for i := range x.W * x.H {
					if [3]float32(y.Pix[3*i:]) == [3]float32(r.Pix[3*i:]) {
						same++
					}
				}
				require.GreaterOrEqual(t, same, 37*30-c.missing)
				require.Contains(t, log, fmt.Sprintf("%d of %d pixels missing", c.missing, 37*30))
			}
			file, err := os.ReadFile(at("r.png"))
			require.NoError(t, err)
			require.Contains(t, string(file), "parameters\x00Task: "+c.task)
			done := "4 of 4"
			if strings.Contains(log, "from diffpir true") {
				done = "24 of 24"
			}
			require.Contains(t, string(file), "Steps: 4, Done: "+done)
		})
	}
}

// The hole of a picture with transparent pixels is painted and opaque; the rest is as before.
func TestTransparentHole(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.png")
	y := writePicture(t, in, 24, 16)
	y.Alpha = make([]float32, 24*16)
	for i := range y.Alpha {
		if i%24 > 8 {
			y.Alpha[i] = 1
		}
	}
	require.NoError(t, picture.Save(in, y))
	_, log := must(t, "restore", "--task", "inpaint", "--in", in, "--out", out, "--model", writeModel(t, nil),
		"--steps", "2", "--seed", "-1")
	require.Contains(t, log, fmt.Sprintf("%d of %d pixels missing (37.5 %%), from transparent pixels", 9*16, 24*16))
	r, err := picture.Load(out)
	require.NoError(t, err)
	require.Nil(t, r.Alpha)
	for i, a := range y.Alpha {
		if a == 1 {
			require.Equal(t, y.Pix[3*i:3*i+3], r.Pix[3*i:3*i+3])
		}
	}
}

func TestJSONAndSeeds(t *testing.T) {
	keepThreads(t)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.png")
	writePicture(t, in, 16, 16)
	model := writeModel(t, nil)
	restored := func(name, seed string, extra ...string) []byte {
		out := filepath.Join(dir, name)
		stdout, _ := must(t, append([]string{"restore", "--task", "denoise", "--in", in, "--out", out, "--model", model,
			"--steps", "4", "--json", "--seed", seed}, extra...)...)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		require.Len(t, lines, 5)
		for i, line := range lines {
			var v map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &v))
			if i < 4 {
				require.EqualValues(t, i+1, v["step"])
				require.Contains(t, v, "seconds_left")
			} else {
				require.Equal(t, out, v["out"])
			}
		}
		p, err := picture.Load(out)
		require.NoError(t, err)
		return fmt.Append(nil, p.Pix)
	}
	a := restored("a.png", "7")
	require.Equal(t, a, restored("b.png", "7", "--threads", "1"))
	require.NotEqual(t, a, restored("c.png", "8"))
}

// writer cancels a context when a text goes by.
type writer struct {
	bytes.Buffer
	text   string
	cancel func()
	last   string // what was written when the text went by
}

func (w *writer) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.text)) {
		w.last = string(p)
		w.cancel()
	}
	return w.Buffer.Write(p)
}

func TestStop(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.png")
	writePicture(t, in, 16, 16)
	args := []string{"restore", "--task", "denoise", "--in", in, "--out", out, "--model", writeModel(t, nil),
		"--steps", "50", "--strength", "1"}

	ctx, cancel := context.WithCancel(t.Context())
	log := &writer{text: "step 10/50", cancel: cancel}
	var stdout bytes.Buffer
	require.Equal(t, 130, run(ctx, args, &stdout, log))
	require.Contains(t, stdout.String(), "best picture so far")
	require.Contains(t, log.String(), "stopped after step 10 of 50\n")
	_, err := picture.Load(out)
	require.NoError(t, err)

	// Nothing was done: nothing is written.
	require.NoError(t, os.Remove(out))
	require.Equal(t, 130, run(ctx, args, &stdout, log))
	require.True(t, strings.HasSuffix(log.String(),
		"psld: stopped before the first step was done: there is no picture and no state\n"), log.String())
	_, err = os.Stat(out)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("solves at 256x256")
	}
	dir := filepath.Join(t.TempDir(), "out")
	out, log := must(t, "--out", dir, "--steps", "2", "--model", writeModel(t, nil))
	require.Contains(t, log, "kernels "+asm.Active().String())
	require.Contains(t, out, "measurement  PSNR")
	require.Contains(t, out, "restoration  PSNR")
	for _, name := range []string{"input", "measurement", "restoration", "sheet"} {
		p, err := picture.Load(filepath.Join(dir, name+".png"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, min(p.W, p.H), 256)
		require.Contains(t, out, name+".png")
		if name == "measurement" { // 70 % of 65536, rounded
			black := 0
			for i := range p.W * p.H {
				if [3]float32(p.Pix[3*i:]) == [3]float32{-1, -1, -1} {
					black++
				}
			}
			require.InDelta(t, 45875, black, 300) // the noise makes a few known pixels black, too
		}
	}
}

// The demo's photo shows the whole blossom in its middle: orange there, dark at the corners.
func TestDemoPhoto(t *testing.T) {
	p, err := demoPhoto(256)
	require.NoError(t, err)
	mean := func(x0, y0 int) (c [3]float32) { // of 48x48 pixels
		for i := range 48 * 48 {
			for k := range c {
				c[k] += p.Pix[3*((y0+i/48)*256+x0+i%48)+k] / (48 * 48)
			}
		}
		return c
	}
	middle, corner := mean(104, 104), mean(0, 0)
	require.Greater(t, middle[0]-middle[2], float32(0.5))
	require.Less(t, corner[0]-corner[2], float32(0))
}

func TestEval(t *testing.T) {
	dir := t.TempDir()
	for i := range 4 {
		writePicture(t, filepath.Join(dir, fmt.Sprintf("%d.png", i)), 20+i, 24)
	}
	to := filepath.Join(t.TempDir(), "new", "results")
	args := []string{"eval", "--data", dir, "--n", "2", "--size", "16", "--tasks", "denoise,sr4", "--methods", "tv,psld",
		"--steps", "2", "--model", writeModel(t, nil)}
	out, log := must(t, append(args, "--out", to)...)
	require.Contains(t, out, "| denoise | measurement | 2 |")
	require.Contains(t, out, "| sr4 | psld | 2 |")
	require.Contains(t, log, "plan      12 cells: 2 pictures, 2 tasks, 2 methods")
	for _, name := range []string{"table.md", "table.csv", "table.json", "sr4.png", "denoise.png", "time-psnr.png"} {
		require.FileExists(t, filepath.Join(to, name))
	}
	table, err := os.ReadFile(filepath.Join(to, "table.csv"))
	require.NoError(t, err)
	require.Equal(t, 1+2*3, bytes.Count(table, []byte("\n")))
	must(t, args...) // without a folder
	require.Contains(t, failure(t, append(args, "--shard", "1/2")...), "--shard needs --out")
	require.Contains(t, failure(t, append(args, "--shard", "0/2")...), `--shard "0/2", want i/n with i from 1 to n`)
	require.Contains(t, failure(t, "eval", "mrege"), `unexpected argument "mrege"`)
	require.Contains(t, failure(t, "eval", "merge"), "eval merge needs --out")
	require.Contains(t, failure(t, "eval", "merge", "--out", "x", "--n", "3"), "--n has no meaning for eval merge")
}

// TestEvalPixelModel: a file of a pixel model is that of all methods, to the numbers that the embedded one gives those
// that prefer it.
func TestEvalPixelModel(t *testing.T) {
	file := filepath.Join("..", "..", "psld", "prior", "default", "pixel.safetensors")
	args := []string{"eval", "--data", folderOf(t), "--n", "1", "--size", "16", "--tasks", "sr4", "--steps", "2"}
	numbers := func(args ...string) (rows []string) {
		out, _ := must(t, args...)
		for line := range strings.Lines(out) {
			if cells := strings.Split(line, "|"); len(cells) > 6 && strings.Contains(cells[2], "diffpir") {
				rows = append(rows, cells[4], cells[5])
			}
		}
		return rows
	}
	own := numbers(append(args, "--methods", "diffpir")...)
	require.Len(t, own, 2)
	require.Equal(t, own, numbers(append(args, "--methods", "diffpir,psld", "--model", file)...)[:2])
	require.Contains(t, failure(t, "generate", "--model", file, "--out", filepath.Join(t.TempDir(), "x.png")),
		"is a model of pixels, want a latent one")
}

// An evaluation that was killed goes on with its finished cells, and parts are merged, to the numbers of one without a
// break.
func TestEvalParts(t *testing.T) {
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	require.NoError(t, os.Mkdir(photos, 0o755))
	for i := range 3 {
		writePicture(t, filepath.Join(photos, fmt.Sprintf("%d.png", i)), 20+i, 24)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	args := []string{"eval", "--data", photos, "--n", "3", "--size", "16", "--tasks", "denoise,sr4", "--methods", "psld",
		"--steps", "2", "--model", writeModel(t, nil), "--out"}
	must(t, append(args, at("whole"))...)
	want := evalNumbers(t, at("whole"))

	ctx, cancel := context.WithCancel(t.Context())
	stop := &writer{text: "cell  1", cancel: cancel}
	require.Equal(t, 130, run(ctx, append(args, at("stopped")), &bytes.Buffer{}, stop))
	require.Contains(t, stop.String(), "the same command goes on")
	require.Contains(t, failure(t, append(args, at("stopped"), "--seed", "3")...), "of another evaluation")
	_, log := must(t, append(args, at("stopped"))...)
	require.Regexp(t, `; [0-9]+ are finished`, log)
	require.Equal(t, want, evalNumbers(t, at("stopped")))

	_, log = must(t, append(args, at("parts"), "--shard", "2/2")...)
	require.Contains(t, log, "part 2 of 2 is done; psld eval merge --out ")
	require.Contains(t, failure(t, "eval", "merge", "--out", at("parts")), "pictures 0 to 0 are missing")
	must(t, append(args, at("parts"), "--shard", "1/2")...)
	out, _ := must(t, "eval", "merge", "--out", at("all"), at("parts"))
	require.Contains(t, out, "| sr4 | psld | 3 |")
	require.Equal(t, want, evalNumbers(t, at("all")))
	require.FileExists(t, filepath.Join(at("all"), "sr4.png"))
}

// evalNumbers are the rows of table.json without times and memory.
func evalNumbers(t *testing.T, dir string) (rows []map[string]any) {
	b, err := os.ReadFile(filepath.Join(dir, "table.json"))
	require.NoError(t, err)
	var table struct{ Rows []map[string]any }
	require.NoError(t, json.Unmarshal(b, &table))
	for _, row := range table.Rows {
		delete(row, "Seconds")
		delete(row, "Bytes")
	}
	require.NotEmpty(t, table.Rows)
	return table.Rows
}

// Both trainings, a stop and a resume, and a restoration with what came out.
func TestTrain(t *testing.T) {
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	require.NoError(t, os.Mkdir(photos, 0o755))
	for i := range 8 {
		writePicture(t, filepath.Join(photos, fmt.Sprintf("%d.png", i)), 20+i, 24)
	}
	require.NoError(t, os.WriteFile(filepath.Join(photos, "broken.jpg"), []byte("no picture"), 0o600))
	v, u := filepath.Join(dir, "vae"), filepath.Join(dir, "unet")
	common := []string{"--data", photos, "--val", photos, "--size", "16", "--steps", "2", "--batch", "2", "--groups", "4",
		"--log-every", "1"}
	out, log := must(t, append([]string{"train", "vae", "--out", v, "--channels", "8,16"}, common...)...)
	require.Contains(t, log, "step 2/2")
	require.Contains(t, log, "broken.jpg: not a PNG")
	require.Contains(t, out, filepath.Join(v, "model.safetensors"))

	unet := append([]string{"train", "unet", "--out", u, "--channels", "8,16", "--heads", "2",
		"--vae", filepath.Join(v, "model.safetensors")}, common...)
	ctx, cancel := context.WithCancel(t.Context())
	stop := &writer{text: "step 1/2", cancel: cancel}
	require.Equal(t, 130, run(ctx, unet, &bytes.Buffer{}, stop))
	require.Contains(t, stop.String(), "--resume")
	out, _ = must(t, append(unet, "--resume")...)
	require.Contains(t, out, "--model "+u)
	require.Contains(t, failure(t, append(unet, "--resume", "--seed", "3")...), "seed was 1, is 3")
	require.Contains(t, failure(t, unet...), "--resume goes on with it, --overwrite begins anew")
	out, _ = must(t, "help", "train", "pixel")
	require.Contains(t, out, "--overwrite")
	out, _ = must(t, "info", "--model", u)
	require.Contains(t, out, "trained at 16x16")
	must(t, "restore", "--task", "denoise", "--in", filepath.Join(photos, "0.png"), "--out", filepath.Join(dir, "r.png"),
		"--model", u, "--steps", "1")
}

func TestBench(t *testing.T) {
	out, log := must(t, "bench", "--filter", "GEGLU", "kernels", "--seconds", "0")
	require.Contains(t, out, "GFLOP/s")
	require.Contains(t, log, "kernels "+asm.Active().String())
}

// The embedded model, where this build has one.
func TestEmbedded(t *testing.T) {
	m, err := prior.Default()
	if err != nil {
		t.Skip(err)
	}
	out, _ := must(t, "info")
	require.Contains(t, out, prior.Describe(m))
}

// Errors are printed whole, and names out of files do not steer the terminal.
func TestMessage(t *testing.T) {
	require.Equal(t, "2 tensors missing:\n  a\n  b", message(fmt.Errorf("2 tensors missing:\n  a\n  b\n")))
	require.Equal(t, "no tensor \uFFFD[2J\uFFFDx", message(fmt.Errorf("no tensor \x1b[2J\rx")))
}

// A stop that no verb has words for is still said in words.
func TestStopMessage(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct{ args, want string }{
		{"info --verify --model " + tinySD(t), "psld: stopped: --model\n"},
		{"convert --out x.safetensors --in " + tinySD(t), "psld: stopped, nothing was written\n"},
		{"generate --steps 1", "psld: stopped before the first step was done: there is no picture\n"},
	} {
		t.Chdir(t.TempDir())
		var log bytes.Buffer
		require.Equal(t, 130, run(ctx, strings.Fields(c.args), &bytes.Buffer{}, &log))
		require.True(t, strings.HasSuffix(log.String(), c.want), log.String())
		left, err := os.ReadDir(".")
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// The list of changes is about the version that the program says it is.
func TestVersion(t *testing.T) {
	changes, err := os.ReadFile("../../CHANGELOG.md")
	require.NoError(t, err)
	require.Contains(t, string(changes), "\n## "+number)
	require.Contains(t, version(), "go1.")
	require.True(t, strings.HasPrefix(version(), cmp.Or(release, number+"-dev")))
}
