package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"psld/psld/prior"
	"psld/weights"
)

var convertVerb = verb{
	talks: true,
	name:  "convert", args: "--in MODEL --out PATH", short: "write a Stable Diffusion model in another layout or " +
		"precision",
	notes: `Every tensor is checked first: its name, its shape, and that its numbers are finite. The result
appears whole or not at all; one tensor at a time is in memory.
  psld convert --in v1-5-pruned-emaonly.ckpt --out sd15.safetensors --dtype f16
  psld convert --in runwayml/stable-diffusion-v1-5 --variant fp16 --out sd15
The first writes one file, the second a diffusers folder, of a model in the Hugging Face cache.

`,
	setup: func(fs *flag.FlagSet) work { return addConvertFlags(fs).run },
}

// convertFlags are those of psld convert.
type convertFlags struct {
	in, out, layout, dtype, variant, vae *string
	lora                                 *loraFlag
}

func addConvertFlags(fs *flag.FlagSet) *convertFlags {
	return &convertFlags{
		in: fs.String("in", "",
			"the `model`: diffusers folder, file (.safetensors, .ckpt), or the id of one in the Hugging Face cache"),
		out: fs.String("out", "", "`path` to write: a .safetensors file, or a folder that does not exist yet"),
		layout: fs.String("layout", "", "`layout` to write: compvis (one file, as A1111 and ComfyUI take it) or diffusers "+
			"(a folder) (default: by --out)"),
		dtype:   fs.String("dtype", "", "`type` of all tensors: f32, f16 or bf16 (default: as they are)"),
		variant: fs.String("variant", "", "`variant` of the files of a diffusers folder to read: fp16, bf16 or non_ema"),
		vae:     fs.String("vae", "", "`file` or folder of an autoencoder in place of the model's"),
		lora:    addLoRAFlag(fs),
	}
}

// check looks at the flags, and chooses the layout.
func (f *convertFlags) check() (d weights.DType, err error) {
	if *f.in == "" || *f.out == "" {
		return d, errors.New("--in and --out are needed (see psld help convert)")
	}
	types := map[string]weights.DType{"": "", "f32": weights.F32, "f16": weights.F16, "bf16": weights.BF16}
	d, ok := types[*f.dtype]
	if !ok {
		return d, fmt.Errorf("--dtype %q, want f32, f16 or bf16", *f.dtype)
	}
	if err := checkVariant(*f.variant); err != nil {
		return d, err
	}
	ext := strings.ToLower(filepath.Ext(*f.out))
	file := ext == ".safetensors"
	if *f.layout == "" {
		*f.layout = "diffusers"
		if file {
			*f.layout = "compvis"
		}
	}
	switch {
	case *f.layout != "compvis" && *f.layout != "diffusers":
		return d, fmt.Errorf("--layout %q, want compvis or diffusers", *f.layout)
	case *f.layout == "compvis" && !file:
		return d, fmt.Errorf("--out %s: want a .safetensors file for --layout compvis", *f.out)
	case *f.layout == "diffusers" &&
		(file || slices.Contains([]string{".ckpt", ".pth", ".pt", ".bin", ".safetensor"}, ext)):
		return d, fmt.Errorf("--out %s: want a folder for the diffusers layout, a .safetensors file for the compvis layout",
			*f.out)
	}
	return d, nil
}

func (f *convertFlags) run(ctx context.Context, c *console, _ []string) error {
	d, err := f.check()
	if err != nil {
		return err
	}
	path, err := weights.FindModel(*f.in)
	if err != nil {
		return fmt.Errorf("--in: %w", err)
	}
	save := weights.SaveDiffusers
	if *f.layout == "compvis" {
		save = weights.SaveSingle
		err = checkOutput("--out", *f.out, []string{".safetensors"}, path)
	} else {
		err = checkNewFolder("--out", *f.out)
	}
	if err != nil {
		return err
	}
	o := weights.Options{Variant: *f.variant, VAE: *f.vae, LoRA: f.lora.list}
	summary, err := prior.Inspect(ctx, path, prior.Options{Weights: o}, false) // save reads the values
	if err != nil {
		return fmt.Errorf("--in: %w", err)
	}
	m, err := weights.OpenModel(path, o)
	if err != nil {
		return fmt.Errorf("--in: %w", err)
	}
	defer m.Close()
	fmt.Fprint(c.log, summary)
	c.warn(summary.Warnings)
	for _, l := range m.Merged {
		c.say("lora: %s", l)
	}
	start := time.Now()
	bar, last := c.progress("MB"), 0
	err = save(ctx, *f.out, m, weights.SaveOptions{DType: d, Progress: func(done, total int64) {
		if mb := int(done >> 20); mb > last { // not for every small tensor
			bar.step(mb, int(total>>20), "")
			last = mb
		}
	}})
	bar.clear()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("stopped, nothing was written: %w", ctx.Err())
	}
	if err != nil {
		return err
	}
	st, err := os.Stat(*f.out)
	if err != nil {
		return err
	}
	size := ""
	if !st.IsDir() {
		size = fmt.Sprintf(", %.1f MB", float64(st.Size())/1e6)
	}
	c.wrote("wrote %s (%s layout%s) in %s", *f.out, *f.layout, size, round(time.Since(start)))
	return nil
}
