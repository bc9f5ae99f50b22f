package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// TestRestoreSD restores by Stable Diffusion's networks: prompts and the tiny autoencoder have an effect.
func TestRestoreSD(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("in.png"), 60, 64)
	writeTAESD(t, at("taesd.safetensors"), true)
	writeTAESD(t, at("decoder.safetensors"), false)
	restored := func(flags string) string {
		_, log := must(t, strings.Fields("restore --task denoise --steps 2 --in "+at("in.png")+" --out "+at("out.png")+
			" --model "+tinySD(t)+" "+flags)...)
		require.Contains(t, log, "step 2/2")
		p := pixels(t, at("out.png"))
		require.Equal(t, [2]int{60, 64}, [2]int{p.W, p.H})
		return sum(p)
	}
	plain := restored("--raw")
	require.Equal(t, plain, restored("--raw --taesd "+at("taesd.safetensors"))) // only kept ready
	guided := restored("--raw --guide-vae --taesd " + at("taesd.safetensors"))
	require.NotEqual(t, plain, guided)
	require.NotEqual(t, guided, restored("--raw --guide-vae --gamma 0 --taesd "+at("taesd.safetensors")))
	require.Equal(t, restored("--raw --guide-vae --gamma 0 --taesd "+at("taesd.safetensors")),
		restored("--raw --guide-vae --gamma 0 --taesd "+at("decoder.safetensors")))

	cat := restored("--raw --prompt cat")
	require.NotEqual(t, restored("--raw"), cat)
	require.NotEqual(t, cat, restored("--raw --prompt dog"))
	require.NotEqual(t, cat, restored("--raw --prompt cat --negative dog"))
	require.NotEqual(t, cat, restored("--raw --prompt cat --cfg 2"))
	require.Equal(t, cat, restored("--raw --prompt cat --cfg 7.5 --emphasis"))
	require.Equal(t, restored("--raw --prompt cat --cfg 1"), restored("--raw --prompt cat --negative cat")) // no guidance
}

func TestRestoreModelErrors(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("in.png"), 16, 16)
	require.NoError(t, picture.Save(at("text.png"), picture.New(8, 8)))
	writeTAESD(t, at("taesd.safetensors"), true)
	writeTAESD(t, at("decoder.safetensors"), false)
	sd := " --model " + tinySD(t)
	for flags, want := range map[string]string{
		"--guide-vae":                                           "--guide-vae needs --taesd",
		"--guide-vae" + sd:                                      "--guide-vae needs --taesd",
		"--guide-vae --taesd " + at("none"):                     "--taesd: ",
		"--guide-vae --taesd " + at("taesd.safetensors"):        "1/8",
		"--guide-vae --taesd " + at("decoder.safetensors") + sd: "the light autoencoder has no encoder",
		"--guide-vae --taesd " + at("text.png") + sd:            "text.png",
		"--prompt cat":                                          "knows no prompts",
		"--cfg -1":                                              "--cfg -1",
		"--cfg Inf" + sd:                                        "--cfg +Inf",
		"--dtype f8":                                            `--dtype: precision "f8"`,
		"--vocab " + at("none") + sd:                            "--vocab: ",
	} {
		t.Run(flags, func(t *testing.T) {
			message := failure(t, append([]string{"restore", "--task", "denoise", "--steps", "1", "--in", at("in.png"),
				"--out", at("out.png")}, strings.Fields(flags)...)...)
			require.Contains(t, message, want)
			require.Equal(t, 1, strings.Count(message, "\n"), message)
			require.NoFileExists(t, at("out.png"))
		})
	}
}

// TestRestoreQualitySD: the qualities of Stable Diffusion are methods of their own, which take prompts; the preview
// after the first step is another picture than the result.
func TestRestoreQualitySD(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePicture(t, at("in.png"), 60, 64)
	args := strings.Fields("restore --task denoise --quality preview --preview " + at("look.png") + " --in " +
		at("in.png") + " --model " + tinySD(t))
	_, log := must(t, append(args, "--out", at("out.png"))...)
	require.Contains(t, log, "method    dpm, 8 steps, fits 4")
	require.Less(t, strings.Index(log, "time      about "), strings.Index(log, "step 1/8"), "predicted before the start")
	require.Contains(t, log, "time      about ")
	look, plain := pixels(t, at("look.png")), sum(pixels(t, at("out.png")))
	require.Equal(t, [2]int{60, 64}, [2]int{look.W, look.H})
	require.NotEqual(t, sum(look), plain)
	must(t, append(args, "--out", at("cat.png"), "--prompt", "cat", "--cfg", "3")...)
	require.NotEqual(t, plain, sum(pixels(t, at("cat.png"))))
	require.Contains(t, failure(t, append(args, "--out", at("look.png"))...), "--preview and --out are the same file")
	require.Contains(t, failure(t, append(args, "--out", at("o.png"), "--preview", at("look.gif"))...), "--preview ")
}
