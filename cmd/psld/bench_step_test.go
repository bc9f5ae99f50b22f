package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets this test binary be the program, for what runs itself again.
func TestMain(m *testing.M) {
	for _, name := range lasting { // of whoever runs the tests
		_ = os.Unsetenv(variable(name))
	}
	_ = os.Setenv("XDG_CONFIG_HOME", "/nowhere")
	if os.Getenv("PSLD_RUN_AS_PROGRAM") != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestBenchStepJSON(t *testing.T) {
	for _, args := range [][]string{{"--random"}, {"--dtype", "bf16", "--batch", "2", "--threads", "2"}} {
		out, _ := must(t, append([]string{"bench", "step", "--tiny", "--size", "64", "--steps", "2", "--json"}, args...)...)
		var r map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &r), out)
		for _, name := range []string{"seconds", "unet_s", "decoder_s", "encoder_s", "tflop", "fraction",
			"predicted_1000_steps_s", "predicted_200_steps_s", "unet_alone_s"} {
			require.Positive(t, r[name], name)
		}
		require.Contains(t, r, "peak_rss_bytes")
		require.NotEmpty(t, r["tier"])
		require.NotEmpty(t, r["dtype"])
		require.EqualValues(t, 64, r["size"])
		require.Positive(t, r["threads"])
	}
}

func TestBenchStepTable(t *testing.T) {
	t.Setenv("PSLD_RUN_AS_PROGRAM", "1")
	out, _ := must(t, "bench", "step", "--tiny", "--sizes", "32,64", "--batches", "1,2")
	require.Equal(t, 6, strings.Count(out, "\n|")+1, out) // two lines of heading
	require.Contains(t, out, "\nOver pixels: time grows with exponent")
	require.Contains(t, out, "\nOver pictures: ")
	require.NotContains(t, out, "NaN")

	_, log := must(t, "bench", "step", "--tiny", "--sizes", "30,32")
	require.Contains(t, log, "--size 30, want a multiple of 4")
	require.Contains(t, log, "left out")
}

func TestBenchStepPrints(t *testing.T) {
	out, _ := must(t, "bench", "step", "--model", writeModel(t, nil), "--size", "32")
	for _, want := range []string{"\nUNet ", "\ndecoder ", "\nencoder ", "\nstep ", "ceiling ",
		"predicted: a run of 1000 steps"} {
		require.Contains(t, out, want)
	}
}

func TestBenchStepErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"bench what?":                     {},
		"--filter has no meaning for":     {"step", "--filter", "x"},
		"--size has no meaning for":       {"kernels", "--size", "64"},
		"--size 30, want a multiple of 4": {"step", "--tiny", "--size", "30"},
		"--size 0 --steps 1":              {"step", "--size", "0"},
		"exclude each other":              {"step", "--model", "x", "--tiny"},
		"--max-mem: \"x\"":                {"step", "--tiny", "--max-mem", "x"},
		"--dtype: ":                       {"step", "--tiny", "--dtype", "f8"},
		"--sizes \"64,x\", want a list":   {"step", "--tiny", "--sizes", "64,x"},
		"--batches \"0\", want a list":    {"step", "--tiny", "--batches", "0"},
		"the limit is 1.0 MiB":            {"step", "--tiny", "--size", "64", "--max-mem", "1MiB"},
	} {
		t.Run(want, func(t *testing.T) {
			message := failure(t, append([]string{"bench"}, args...)...)
			require.Contains(t, message, want)
			require.Equal(t, 1, strings.Count(message, "\n"), message)
		})
	}
}
