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

func convert(fs *flag.FlagSet) func(context.Context, *console, []string) error {
	in := fs.String("in", "", "the `model`: diffusers folder, file (.safetensors, .ckpt), or the id of one in the Hugging Face cache")
	out := fs.String("out", "", "`path` to write: a .safetensors file, or a folder that does not exist yet")
	layout := fs.String("layout", "", "`layout` to write: compvis (one file, as A1111 and ComfyUI take it) or diffusers (a folder) (default: by --out)")
	dtype := fs.String("dtype", "", "`type` of all tensors: f32, f16 or bf16 (default: as they are)")
	variant := fs.String("variant", "", "`variant` of the files of a diffusers folder to read: fp16, bf16 or non_ema")

	return func(ctx context.Context, c *console, _ []string) error {
		if *in == "" || *out == "" {
			return errors.New("--in and --out are needed (see psld help convert)")
		}
		types := map[string]weights.DType{"": "", "f32": weights.F32, "f16": weights.F16, "bf16": weights.BF16}
		d, ok := types[*dtype]
		if !ok {
			return fmt.Errorf("--dtype %q, want f32, f16 or bf16", *dtype)
		}
		if err := checkVariant(*variant); err != nil {
			return err
		}
		ext := strings.ToLower(filepath.Ext(*out))
		file := ext == ".safetensors"
		if *layout == "" {
			*layout = "diffusers"
			if file {
				*layout = "compvis"
			}
		}
		save := weights.SaveDiffusers
		switch {
		case *layout != "compvis" && *layout != "diffusers":
			return fmt.Errorf("--layout %q, want compvis or diffusers", *layout)
		case *layout == "compvis" && !file:
			return fmt.Errorf("--out %s: want a .safetensors file for --layout compvis", *out)
		case *layout == "diffusers" && (file || slices.Contains([]string{".ckpt", ".pth", ".pt", ".bin", ".safetensor"}, ext)):
			return fmt.Errorf("--out %s: want a folder for the diffusers layout, a .safetensors file for the compvis layout", *out)
		}
		path, err := weights.FindModel(*in)
		if err != nil {
			return fmt.Errorf("--in: %w", err)
		}
		if *layout == "compvis" {
			save = weights.SaveSingle
			err = checkOutput("--out", *out, []string{".safetensors"}, path)
		} else {
			err = checkNewFolder("--out", *out)
		}
		if err != nil {
			return err
		}
		o := weights.Options{Variant: *variant}
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
		start := time.Now()
		bar, last := newProgress(c.log, "MB"), 0
		err = save(ctx, *out, m, weights.SaveOptions{DType: d, Progress: func(done, total int64) {
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
		st, err := os.Stat(*out)
		if err != nil {
			return err
		}
		size := ""
		if !st.IsDir() {
			size = fmt.Sprintf(", %.1f MB", float64(st.Size())/1e6)
		}
		fmt.Fprintf(c.out, "wrote %s (%s layout%s) in %s\n", *out, *layout, size, round(time.Since(start)))
		return nil
	}
}
