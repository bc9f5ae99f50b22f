package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"psld/asm"
	"psld/psld/prior"
)

// features are those that kernels use or may use.
var features = []cpuid.FeatureID{cpuid.AVX, cpuid.FMA3, cpuid.F16C, cpuid.AVX2, cpuid.AVXVNNI, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ,
	cpuid.AVX512VL, cpuid.AVX512VNNI, cpuid.AVX512BF16, cpuid.AVX512FP16, cpuid.AMXTILE, cpuid.AMXBF16, cpuid.ASIMD, cpuid.ASIMDHP, cpuid.SVE}

func info(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	path := fs.String("model", "", "`path` of a model folder or file (default: the embedded one)")
	threads := threadsFlag(fs)
	return func(ctx context.Context, c *console, _ []string) error {
		if err := threads(); err != nil {
			return err
		}
		m, modelErr := openModel(ctx, *path)
		if modelErr != nil && *path != "" {
			return modelErr
		}
		line := func(name, format string, args ...any) {
			fmt.Fprintf(c.out, "%-10s "+format+"\n", append([]any{name}, args...)...)
		}
		line("psld", "%s, %s/%s", version(), runtime.GOOS, runtime.GOARCH)
		var has []string
		for _, f := range features {
			if cpuid.CPU.Has(f) {
				has = append(has, f.String())
			}
		}
		line("processor", "%s, %d logical cores", strings.TrimSpace(cpuid.CPU.BrandName), runtime.NumCPU())
		line("features", "%s", strings.Join(has, " "))
		var tiers []string
		for _, t := range asm.Available() {
			tiers = append(tiers, t.String())
		}
		line("kernels", "%s (available: %s; PSLD_KERNELS forces one)", asm.Active(), strings.Join(tiers, ", "))
		line("threads", "%d", runtime.GOMAXPROCS(0))
		line("memory", "%s", memory())
		if modelErr != nil {
			line("model", "%s", oneLine(modelErr))
		} else {
			printModel(line, m, *path)
		}
		line("credits", "%s", strings.TrimSpace(indent(credit, strings.Repeat(" ", 11))))
		return nil
	}
}

func printModel(line func(string, string, ...any), m *prior.Latent, path string) {
	line("model", "%s", describeModel(m))
	for _, n := range []struct {
		name   string
		count  int
		config any
	}{{"  vae", m.VAE.Params.Count(), m.VAE.Config}, {"  unet", m.UNet.Params.Count(), m.UNet.Config}} {
		cfg, _ := json.Marshal(n.config) // plain numbers and strings
		line(n.name, "%d parameters (%.1f MB as float16), %s", n.count, 2*float64(n.count)/1e6, cfg)
	}
	line("  latent", "%d channels, 1/%d of the picture's sides; sides are padded to multiples of %d", m.VAE.LatentChannels, m.VAE.Factor(), m.Multiple())
	if m.Window > 0 {
		line("  window", "larger pictures are solved in overlapping windows of %d pixels", m.Window)
	}
	if path == "" {
		return
	}
	var files []string
	err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".safetensors" {
			return err
		}
		i, err := d.Info()
		if err == nil {
			files = append(files, fmt.Sprintf("%s %.1f MB", p, float64(i.Size())/1e6))
		}
		return err
	})
	if err == nil && len(files) > 0 {
		line("  files", "%s", strings.Join(files, ", "))
	}
}

// memory is the machine's memory where the system says it as Linux does.
func memory() string {
	b, _ := os.ReadFile("/proc/meminfo")
	find := func(key string) (kib float64) {
		_, rest, ok := strings.Cut(string(b), key+":")
		if ok {
			_, _ = fmt.Sscan(rest, &kib)
		}
		return kib
	}
	total, free := find("MemTotal"), find("MemAvailable")
	if total == 0 {
		return "unknown on " + runtime.GOOS
	}
	return fmt.Sprintf("%.1f GiB, %.1f GiB available", total/(1<<20), free/(1<<20))
}
