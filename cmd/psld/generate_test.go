package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/psld/picture"
)

// pngTexts reads the texts of a PNG file, chunk by chunk (PNG specification 5.3, 11.3.4).
func pngTexts(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	texts := map[string]string{}
	for b = b[8:]; len(b) >= 12; {
		n := binary.BigEndian.Uint32(b)
		kind, body := string(b[4:8]), b[8:8+n]
		key, value, _ := strings.Cut(string(body), "\x00")
		switch kind {
		case "tEXt": // Latin-1
			var utf8 []rune
			for _, c := range []byte(value) {
				utf8 = append(utf8, rune(c))
			}
			texts[key] = string(utf8)
		case "iTXt": // not compressed, no language, no translated key
			require.Equal(t, "\x00\x00\x00\x00", value[:4])
			texts[key] = value[4:]
		}
		b = b[12+n:]
	}
	return texts
}

func pixels(t *testing.T, path string) *picture.Picture {
	t.Helper()
	p, err := picture.Load(path)
	require.NoError(t, err)
	return p
}

// sum stands for a picture's pixels where tests compare them: a difference would fill screens.
func sum(p *picture.Picture) string {
	return fmt.Sprintf("%dx%d %x", p.W, p.H, sha256.Sum256(fmt.Append(nil, p.Pix)))
}

// TestGenerateAsDiffusers compares files with those that diffusers' pipelines write (testdata/README.md):
// tokens, text encoder, start noise, guidance, sampler, decoder and rounding to 8 bits.
func TestGenerateAsDiffusers(t *testing.T) {
	for name, flags := range map[string]string{
		"text.png": "--sampler dpm++2m_karras --steps 4 --cfg 6.5 --seed 7 --width 128 --height 128",
		"init.png": "--sampler euler --steps 5 --cfg 2 --seed 9 --strength 0.6 --init testdata/text.png",
	} {
		out := filepath.Join(t.TempDir(), name)
		must(t, append(strings.Fields("generate --model "+tinySD(t)+" --out "+out+" "+flags), "--prompt", "A photo of a cat",
			"--negative", "dog, blurry")...)
		got, want := pixels(t, out), pixels(t, filepath.Join("testdata", name))
		require.Equal(t, [2]int{128, 128}, [2]int{got.W, got.H})
		apart := 0
		for i, v := range got.Pix {
			if d := math.Abs(float64(v - want.Pix[i])); d > 0 {
				apart++
				require.Less(t, d, 1.5*2/255, name) // rounded to the other side
			}
		}
		require.Less(t, apart, len(got.Pix)/200, name)
	}
}

// TestGenerateSettings wants the text in the file word by word, and the same pixels without it.
func TestGenerateSettings(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	initial := at("init.png")
	writePicture(t, initial, 70, 64)
	text := []string{"--prompt", "A photo of a cat", "--negative", "dog, blurry"}
	comma := filepath.Join(dir, "a, b")
	require.NoError(t, os.CopyFS(comma, os.DirFS(tinySD(t))))
	for _, c := range []struct {
		flags string
		args  []string
		want  string
	}{
		{"--steps 2 --sampler dpm++2m_karras --cfg 6.5 --seed 7 --width 64 --height 128 --model " + tinySD(t), text,
			"A photo of a cat\nNegative prompt: dog, blurry\nSteps: 2, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: " +
				"6.5, Seed: 7, Size: 64x128, Model: diffusers, RNG: CPU"},
		{"--steps 2 --sampler euler_a --rng cuda --width 64 --height 64 --model " + tinySD(t), text[:2],
			"A photo of a cat\nSteps: 2, Sampler: Euler a, CFG scale: 7.5, Seed: 42, Size: 64x64, Model: diffusers, RNG: GPU"},
		{"--steps 2 --sampler ddim --eta 0.5 --init " + initial + " --model " + comma, []string{"--prompt", "Kätzchen 猫"},
			"Kätzchen 猫\nSteps: 2, Sampler: DDIM, CFG scale: 7.5, Seed: 42, Size: 64x64, Model: \"a, b\", Denoising " +
				"strength: 0.8, Eta: 0.5, RNG: CPU"},
		{"--steps 2", nil, "Steps: 2, Sampler: DPM++ 2M, Seed: 42, Size: 64x64, Model: embedded, RNG: CPU"},
	} {
		args := append(strings.Fields("generate "+c.flags), "--out", at("with.png"))
		if strings.HasSuffix(c.flags, comma) { // has a space
			args = append(strings.Fields(strings.TrimSuffix("generate "+c.flags, comma)), comma, "--out", at("with.png"))
		}
		args = append(args, c.args...)
		must(t, args...)
		texts := pngTexts(t, at("with.png"))
		require.Equal(t, c.want+", Version: psld "+version(), texts["parameters"])
		require.NotContains(t, texts["psld"], filepath.Dir(at("with.png"))) // no folders of this machine
		must(t, append(args, "--out", at("without.png"), "--no-metadata")...)
		require.Empty(t, pngTexts(t, at("without.png")))
		require.Equal(t, sum(pixels(t, at("with.png"))), sum(pixels(t, at("without.png"))))
	}
}

// TestGenerateSameFile wants a seed to mean the same file whatever the threads, and another one otherwise.
func TestGenerateSameFile(t *testing.T) {
	keepThreads(t)
	dir := t.TempDir()
	n := 0
	made := func(flags string) string {
		n++
		out := filepath.Join(dir, fmt.Sprintf("%d.png", n))
		must(t, strings.Fields("generate --no-metadata --out "+out+" "+flags)...)
		b, err := os.ReadFile(out)
		require.NoError(t, err)
		return fmt.Sprintf("%x", sha256.Sum256(b))
	}
	for _, model := range []string{"--steps 2", "--steps 2 --prompt cat --width 64 --height 64 --model " + tinySD(t)} {
		a := made(model + " --threads 1")
		require.Equal(t, a, made(model+" --threads 2"))
		require.Equal(t, a, made(model+" --threads 3 --rng torch --seed 42"))
		for _, other := range []string{"--seed 43", "--rng cuda", "--steps 3", "--sampler ddim", "--seed -1"} {
			require.NotEqual(t, a, made(model+" "+other), other)
		}
	}
	ddim := made("--steps 3 --sampler ddim")
	require.Equal(t, ddim, made("--steps 3 --sampler ddim --eta 0"))
	require.NotEqual(t, ddim, made("--steps 3 --sampler ddim --eta 0.5"))
}

// TestGenerateFromPicture: the size is the picture's, and the less strength the nearer to it.
func TestGenerateFromPicture(t *testing.T) {
	dir := t.TempDir()
	initial, out := filepath.Join(dir, "in.jpg"), filepath.Join(dir, "out.jpg")
	photo, err := demoPhoto(64)
	require.NoError(t, err)
	require.NoError(t, picture.Save(initial, photo))
	x := pixels(t, initial)
	last := 0.0
	for _, strength := range []string{"0.1", "0.5", "1"} {
		must(t, "generate", "--init", initial, "--out", out, "--steps", "10", "--strength", strength)
		y := pixels(t, out)
		apart := golden.RelL2(y.Pix, x.Pix)
		require.Greater(t, apart, last, strength)
		last = apart
		if strength == "0.1" {
			require.Less(t, apart, 0.2)
		}
	}
	writePicture(t, initial, 48, 32)
	must(t, "generate", "--init", initial, "--out", out, "--steps", "2")
	y := pixels(t, out)
	require.Equal(t, [2]int{48, 32}, [2]int{y.W, y.H})
	must(t, "generate", "--init", initial, "--out", out, "--steps", "2", "--width", "32")
	y = pixels(t, out)
	require.Equal(t, [2]int{32, 32}, [2]int{y.W, y.H})
	must(t, "generate", "--init", initial, "--out", out, "--steps", "2", "--model", tinySD(t))
	y = pixels(t, out) // a multiple of 64, but not of none
	require.Equal(t, [2]int{64, 64}, [2]int{y.W, y.H})
	writePicture(t, initial, 37, 9)
	must(t, "generate", "--init", initial, "--out", out, "--steps", "2")
	y = pixels(t, out)
	require.Equal(t, [2]int{32, 16}, [2]int{y.W, y.H})
}

// TestGenerateBatch: each picture has its seed in its name, and is the one that the seed makes alone.
func TestGenerateBatch(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	stdout, log := must(t, "generate", "--steps", "2", "--batch", "3", "--seed", "9", "--out", at("x.y.png"))
	for seed := 9; seed < 12; seed++ {
		path := at(fmt.Sprintf("x.y-%d.png", seed))
		require.Contains(t, stdout, fmt.Sprintf("wrote %s (seed %d) in ", path, seed))
		must(t, "generate", "--steps", "2", "--seed", fmt.Sprint(seed), "--out", at("alone.png"))
		a, err := os.ReadFile(path)
		require.NoError(t, err)
		b, err := os.ReadFile(at("alone.png"))
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, b))
		require.Contains(t, pngTexts(t, path)["parameters"], fmt.Sprintf("Seed: %d,", seed))
	}
	require.Regexp(t, `step 6/6 .* picture 3 of 3\n`, log)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 4)
}

func TestGenerateJSON(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x.png")
	stdout, _ := must(t, "generate", "--steps", "2", "--batch", "2", "--json", "--out", out)
	var lines []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		var v map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &v), line)
		for _, name := range []string{"seconds", "seconds_left"} {
			if v[name] != nil {
				require.GreaterOrEqual(t, v[name], 0.0)
				delete(v, name)
			}
		}
		lines = append(lines, v)
	}
	step := func(picture, step float64) map[string]any {
		return map[string]any{"picture": picture, "pictures": 2.0, "step": step, "steps": 2.0}
	}
	file := func(seed float64) map[string]any {
		return map[string]any{"out": strings.Replace(out, ".png", fmt.Sprintf("-%g.png", seed), 1), "seed": seed,
			"stopped": false}
	}
	require.Equal(t, []map[string]any{step(1, 1), step(1, 2), file(42), step(2, 1), step(2, 2), file(43)}, lines)
}

// TestGeneratePreview: a preview every N steps and after the last, which shows the picture itself
// unless a tiny autoencoder makes it.
func TestGeneratePreview(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writeTAESD(t, at("taesd.safetensors"), false)
	for name, flags := range map[string]string{
		"own":  "",
		"tiny": "--width 64 --height 64 --taesd " + at("taesd.safetensors") + " --model " + tinySD(t),
	} {
		out, preview := at(name+".png"), at(name+"-preview.png")
		args := append([]string{"generate", "--steps", "5", "--preview-every", "3", "--out", out, "--preview", preview},
			strings.Fields(flags)...)
		exists := map[string]bool{}
		var early string
		log := &writer{text: "step "}
		log.cancel = func() {
			step := log.last[:len("step 1/5")]
			_, err := os.Stat(preview)
			if exists[step] = err == nil; err == nil {
				early = sum(pixels(t, preview))
			}
		}
		require.Equal(t, 0, run(t.Context(), args, &bytes.Buffer{}, log), log.String())
		// The line of a step is printed before its preview.
		require.Equal(t, map[string]bool{"step 1/5": false, "step 2/5": false, "step 3/5": false, "step 4/5": true,
			"step 5/5": true}, exists)
		last := pixels(t, preview)
		require.NotEqual(t, early, sum(last))
		y := pixels(t, out)
		require.Equal(t, [2]int{y.W, y.H}, [2]int{last.W, last.H})
		if name == "own" {
			require.Equal(t, sum(y), sum(last))
		} else {
			require.NotEqual(t, sum(y), sum(last))
		}
	}
	// The previews change nothing.
	must(t, "generate", "--steps", "5", "--out", at("plain.png"))
	require.Equal(t, sum(pixels(t, at("own.png"))), sum(pixels(t, at("plain.png"))))
}

// TestGenerateStop: Ctrl-C keeps the pictures made and the one in the making.
func TestGenerateStop(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	stop := func(text string, args ...string) (stdout, log string) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &writer{text: text, cancel: cancel}
		var out bytes.Buffer
		require.Equal(t, 130, run(ctx, append([]string{"generate", "--steps", "4"}, args...), &out, w))
		return out.String(), w.String()
	}
	stdout, log := stop("step 1/4", "--out", at("x.png"))
	require.Contains(t, stdout, "stopped: the picture so far is in "+at("x.png"))
	require.Contains(t, log, "psld: stopped after step 1 of picture 1 of 1\n")
	pixels(t, at("x.png"))
	require.Regexp(t, ", Done: 1 of 4$", pngTexts(t, at("x.png"))["parameters"])

	stdout, log = stop("step  6/12", "--out", at("b.png"), "--batch", "3", "--seed", "1")
	require.Contains(t, stdout, "wrote "+at("b-1.png"))
	require.Contains(t, stdout, "so far is in "+at("b-2.png"))
	require.Contains(t, log, "psld: stopped after step 2 of picture 2 of 3\n")
	must(t, "generate", "--steps", "4", "--seed", "1", "--out", at("alone.png"))
	require.Equal(t, pngTexts(t, at("alone.png")), pngTexts(t, at("b-1.png")))
	require.Equal(t, sum(pixels(t, at("alone.png"))), sum(pixels(t, at("b-1.png"))))
	pixels(t, at("b-2.png"))
	require.NoFileExists(t, at("b-3.png"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, 130, run(ctx, []string{"generate", "--json", "--out", at("none.png")}, &bytes.Buffer{},
		&bytes.Buffer{}))
	require.NoFileExists(t, at("none.png"))
}

func TestGenerateErrors(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("in.png"), 24, 16)
	writePicture(t, at("x-43.png"), 24, 16)
	require.NoError(t, os.WriteFile(at("text.png"), []byte("no picture"), 0o644))
	for flags, want := range map[string]string{
		"--rng dice":                            `--rng: random generator "dice", want torch or cuda`,
		"--sampler dice":                        `sampler "dice", want one of ddim, ddpm, euler`,
		"--steps 0":                             "--steps 0, want 1 to 1000",
		"--steps 1001":                          "--steps 1001, want 1 to 1000",
		"--steps 51 --sampler lcm":              "sampler lcm: 51 steps, want 1 to 50",
		"--eta 0.5":                             "only ddim has an eta",
		"--eta NaN --sampler ddim":              "eta NaN",
		"--eta 2 --sampler ddim":                "eta 2",
		"--batch 0":                             "--batch 0, want 1 to 10000",
		"--batch 10001":                         "--batch 10001",
		"--preview-every 0":                     "--preview-every 0, want at least 1",
		"--width -8":                            "--width -8",
		"--height 0":                            "--height 0",
		"--width 33":                            "size 33x64, want multiples of 16",
		"--height 8192":                         "size 64x8192",
		"--width 96 --model " + tinySD(t):       "size 96x512, want multiples of 64",
		"--seed -2":                             "--seed -2",
		"--threads -1":                          "--threads -1",
		"--strength 0.5":                        "--strength needs --init",
		"--strength 0 --init " + at("in.png"):   "--strength 0, want more than 0 and at most 1",
		"--strength 1.5 --init " + at("in.png"): "--strength 1.5",
		"--strength NaN --init " + at("in.png"): "--strength NaN",
		"--strength 0.1 --steps 5 --init " + at("in.png"):   "leaves no step",
		"--init " + at("none.png"):                          "none.png",
		"--init " + at("text.png"):                          "not a PNG",
		"--out " + at("x.gif"):                              `extension is ".gif"`,
		"--out " + at("none/x.png"):                         "cannot be written",
		"--out " + at("in.png") + " --init " + at("in.png"): "would overwrite an input",
		"--batch 2 --init " + at("x-43.png"):                "x-43.png would overwrite an input",
		"--preview " + at("p.gif"):                          `--preview ` + at("p.gif"),
		"--preview " + at("x.png"):                          "--preview and --out are the same file",
		"--batch 3 --preview " + at("x-44.png"):             "--preview and --out are the same file",
		"extra":                                             `unexpected argument "extra"`,
	} {
		t.Run(flags, func(t *testing.T) {
			message := failure(t, append([]string{"generate", "--out", at("x.png")}, strings.Fields(flags)...)...)
			require.Contains(t, message, want)
			require.Equal(t, 1, strings.Count(message, "\n"), message)
		})
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 3, "files left behind")
}
