package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"psld/asm"
	"psld/internal/memstat"
	"psld/psld/prior"
	"psld/tensor/cpu"
	"psld/tensor/devices"
)

// features are those that kernels use or may use.
var features = []cpuid.FeatureID{cpuid.AVX, cpuid.FMA3, cpuid.F16C, cpuid.AVX2, cpuid.AVXVNNI, cpuid.AVX512F,
	cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VNNI, cpuid.AVX512BF16, cpuid.AVX512FP16, cpuid.AMXTILE,
	cpuid.AMXBF16, cpuid.ASIMD, cpuid.ASIMDHP, cpuid.SVE}

var infoVerb = verb{
	name: "info", args: "[picture.png]",
	short: "show processor, kernels, memory, model and credits; or what a picture holds",
	notes: `Of a picture it shows size, depth, colour profile and the texts of a PNG, in which psld and other programs
keep their settings (restore and generate --like repeat them).

`,
	setup: info, maxArgs: 1,
}

func info(fs *flag.FlagSet) work {
	model := addModelFlags(fs)
	verify := fs.Bool("verify", false, "also read every tensor and report NaN and infinities")
	threads := threadsFlag(fs)
	asJSON := fs.Bool("json", false, "print JSON: a list of lines for each name, of a picture its sizes and texts")
	return func(ctx context.Context, c *console, args []string) error {
		if err := threads(); err != nil {
			return err
		}
		if len(args) == 1 {
			return pictureInfo(c, args[0], *asJSON)
		}
		line := func(name, format string, args ...any) {
			fmt.Fprintf(c.out, "%-10s "+format+"\n", append([]any{name}, args...)...)
		}
		if *asJSON {
			lines, last := map[string][]string{}, ""
			line = func(name, format string, args ...any) {
				last = cmp.Or(strings.TrimSpace(name), last) // lines without a name belong to the one before
				lines[last] = append(lines[last], fmt.Sprintf(format, args...))
			}
			defer func() { _ = json.NewEncoder(c.out).Encode(lines) }() // c.out keeps its error
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
		printDevices(line)
		line("threads", "%d", cpu.Threads())
		total, free := memstat.System()
		if total > 0 {
			line("memory", "%s, %s available", memstat.Words(total), memstat.Words(free))
		} else {
			line("memory", "unknown on %s", runtime.GOOS)
		}
		if *model.path != "" && !prior.IsTrained(*model.path) {
			if err := inspect(ctx, line, model, *verify, float64(free)); err != nil {
				return err
			}
		} else if m, err := model.open(ctx, c); err != nil && *model.path != "" {
			return err
		} else if err != nil {
			line("model", "%s", message(err))
		} else {
			printModel(line, m)
			if *verify { // loading it has read them all
				line("  values", "all finite")
			}
		}
		line("credits", "%s", strings.TrimSpace(indent(credit, strings.Repeat(" ", 11))))
		return nil
	}
}

// inspect describes the model of the user's files without loading it.
func inspect(ctx context.Context, line func(string, string, ...any), f *modelFlags, verify bool, free float64) error {
	if err := f.check(); err != nil {
		return err
	}
	m, err := prior.Inspect(ctx, *f.path, f.options(), verify)
	if err != nil {
		return fmt.Errorf("--model: %w", err)
	}
	line("model", "%s: %s", m.Path, m.Layout)
	params := 0
	for _, p := range m.Parts {
		var types []string
		for _, d := range slices.Sorted(maps.Keys(p.DTypes)) {
			types = append(types, fmt.Sprintf("%d in %s", p.DTypes[d], d))
		}
		line("  "+p.Name, "%d parameters, %d tensors (%s), %.1f MB in %s", p.Params, p.Tensors, strings.Join(types, ", "),
			float64(p.Bytes)/1e6, strings.Join(p.Files, ", "))
		params += p.Params
	}
	if m.Unused > 0 {
		line("  unused", "%d tensors: copies of the training, schedules, buffers", m.Unused)
	}
	for _, w := range m.Warnings {
		line("  warning", "%s", w)
	}
	line("  names", "all there, all shapes right")
	if verify {
		line("  values", "all finite")
	}
	for _, name := range []string{"f32", "bf16", "int8"} {
		d, _ := devices.Find(name)
		weights := float64(params * d.Weight)
		if d.Weight == 1 {
			weights *= 1.1 // embeddings and scales are float32
		}
		generate, restore := weights+generateMemory, weights+restoreMemory
		verdict := func(need float64) string {
			switch {
			case free == 0:
				return ""
			case need > free:
				return " (more than is available here)"
			}
			return " (fits here)"
		}
		line("  "+name, "about %s to generate 512x512 pixels%s, at least %s to restore them%s",
			memstat.Words(int64(generate)), verdict(generate), memstat.Words(int64(restore)), verdict(restore))
	}
	return nil
}

// Working memory at 512x512 pixels beside the weights, as measured on Stable Diffusion 1.5.
const (
	generateMemory = 2.1 * (1 << 30)
	restoreMemory  = 2.6 * (1 << 30) // more is used, up to --max-mem, to compute less
)

func printModel(line func(string, string, ...any), m *prior.LatentDiffusion) {
	line("model", "%s", prior.Describe(m))
	for _, n := range []struct {
		name   string
		count  int
		config any
	}{{"  vae", m.VAE.Params.Count(), m.VAE.Config}, {"  unet", m.UNet.Params.Count(), m.UNet.Config}} {
		cfg, _ := json.Marshal(n.config) // plain numbers and strings
		line(n.name, "%d parameters (%.1f MB as float16), %s", n.count, 2*float64(n.count)/1e6, cfg)
	}
	line("  latent", "%d channels, 1/%d of the picture's sides; sides are padded to multiples of %d",
		m.VAE.LatentChannels, m.VAE.Factor(), m.Multiple())
	if m.Window > 0 {
		line("  window", "pictures of more than %d pixels are solved in overlapping windows of up to %d pixels a side",
			max(m.Whole, m.Window*m.Window), m.Window)
	}
}
