package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

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
		file := strings.HasSuffix(*out, ".safetensors")
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
		case *layout == "diffusers" && file:
			return fmt.Errorf("--out %s: want a folder for --layout diffusers", *out)
		case *layout == "compvis":
			save = weights.SaveSingle
			if err := checkOutput("--out", *out, []string{".safetensors"}, *in); err != nil {
				return err
			}
		}
		path, err := weights.FindModel(*in)
		if err != nil {
			return fmt.Errorf("--in: %w", err)
		}
		m, err := weights.OpenModelWith(path, weights.Options{Variant: *variant})
		if err != nil {
			return fmt.Errorf("--in: %w", err)
		}
		defer m.Close()
		fmt.Fprint(c.log, m.Summary())
		start := time.Now()
		bar := newProgress(c.log, "MB")
		err = save(ctx, *out, m, weights.SaveOptions{DType: d, Progress: func(done, total int64) {
			bar.step(int(done>>20), int(max(1, total>>20)), "")
		}})
		bar.clear()
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
