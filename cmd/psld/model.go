package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"

	"psld/asm"
	"psld/psld/prior"
)

// openModel loads the model at path, or the embedded one.
func openModel(ctx context.Context, path string) (*prior.Latent, error) {
	if path == "" {
		return prior.Default()
	}
	m, err := prior.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("--model: %w", err)
	}
	return m, nil
}

func parameters(m *prior.Latent) int { return m.VAE.Params.Count() + m.UNet.Params.Count() }

func describeModel(m *prior.Latent) string {
	s := fmt.Sprintf("%s, %.2f million parameters", m.Name, float64(parameters(m))/1e6)
	if m.TrainSize > 0 {
		s += fmt.Sprintf(", trained at %dx%d", m.TrainSize, m.TrainSize)
	}
	return s
}

// layout says how a picture of w x h pixels is solved.
func layout(m *prior.Latent, w, h int) string {
	how := "in one piece"
	if m.Window > 0 && max(w, h) > m.Window {
		how = fmt.Sprintf("in overlapping windows of %d pixels, blended in every step", m.Window)
	}
	if w*h > prior.WholePixels {
		how += fmt.Sprintf(", autoencoder in overlapping tiles of %d pixels", prior.Tile)
	}
	if m.TrainSize > 0 && max(w, h) > m.TrainSize {
		return fmt.Sprintf("%s (larger than the %dx%d pictures of the training)", how, m.TrainSize, m.TrainSize)
	}
	return how
}

func machine() string {
	return fmt.Sprintf("kernels %s, %d threads", asm.Active(), runtime.GOMAXPROCS(0))
}

// threadsFlag defines --threads; the returned function checks and applies it.
func threadsFlag(fs *flag.FlagSet) func() error {
	n := fs.Int("threads", 0, "`N` threads to use (default: all processors)")
	return func() error {
		if *n < 0 || *n > 1024 {
			return fmt.Errorf("--threads %d, want 1 to 1024, or 0 for all processors", *n)
		}
		if *n > 0 {
			runtime.GOMAXPROCS(*n)
		}
		return nil
	}
}

// seedFlag defines --seed; the returned function gives its value, drawn at random for -1.
func seedFlag(fs *flag.FlagSet) func() (uint64, error) {
	n := fs.Int64("seed", 42, "`N` of all random numbers; -1 draws one")
	return func() (uint64, error) {
		switch {
		case *n == -1:
			return uint64(rand.Uint32()), nil
		case *n < 0:
			return 0, fmt.Errorf("--seed %d, want a number of at least 0, or -1 for a random one", *n)
		}
		return uint64(*n), nil
	}
}
