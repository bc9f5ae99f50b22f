package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/client"
	"psld/psld/picture"
)

// TestServe: the command prints its address, has the models that --model or the environment names beside its own, and
// samples to try; it restores, and ends when it is told to.
func TestServe(t *testing.T) {
	model := writeModel(t, nil)
	t.Setenv("PSLD_MODEL", model)
	ctx, stop := context.WithCancel(t.Context())
	out, to := io.Pipe()
	var log bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data", t.TempDir()}, to, &log)
		_ = to.Close()
	}()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Regexp(t, `^http://127\.0\.0\.1:\d+/$`, lines.Text())
	c := &client.Client{URL: strings.TrimSuffix(lines.Text(), "/")}
	models, err := c.Models(t.Context())
	require.NoError(t, err)
	require.Equal(t, "default", models[0].Name)
	require.Equal(t, client.Model{Name: filepath.Base(model), Kind: "latent", Description: filepath.Base(model)},
		models[1])

	x := picture.New(16, 16)
	x.Pix[5] = 0.5
	var b bytes.Buffer
	require.NoError(t, picture.EncodePNG(&b, x))
	j, err := c.Create(t.Context(), client.Input{Picture: &b}, client.JobOptions{Task: "denoise", Model: models[1].Name,
		Method: "psld", Params: map[string]any{"steps": 2}})
	require.NoError(t, err)
	j, err = c.Wait(t.Context(), j.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Done, j.State, j.Error)
	stop()
	require.Contains(t, []int{0, 130}, <-code, log.String())
}

// What makes no sense is said before the address is.
func TestServeErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for want, args := range map[string][]string{
		"--listen 0.0.0.0:0 can be reached":       {"--listen", "0.0.0.0:0"},
		"--listen nonsense":                       {"--listen", "nonsense"},
		"--model: none.safetensors: no such file": {"--model", "none.safetensors"},
		"each name once":                          {"--model", "default=" + file},
		`--lora "x=file"`:                         {"--lora", "x=file"},
		"--queue 0":                               {"--queue", "0"},
		"--max-pixels 0":                          {"--max-pixels", "0"},
		"--max-data":                              {"--max-data", "much"},
		"--keep want":                             {"--keep", "0s"},
		"--token wants up to 200 letters":         {"--token", "two words"},
		"not a directory":                         {"--data", filepath.Join(file, "below")},
		"--dtype":                                 {"--dtype", "f12"},
	} {
		args = append([]string{"serve", "--data", filepath.Join(t.TempDir(), "data")}, args...)
		require.Contains(t, failure(t, args...), want)
	}
}
