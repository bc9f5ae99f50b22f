package main

import (
	_ "embed" // the credits
	"flag"
	"fmt"
	"io"
	"strings"

	"psld/psld/solver"
	"psld/psld/task"
)

// credit names the source of the demo's photo.
//
//go:embed NOTICE
var credit string

func help(w io.Writer, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("unexpected argument %q (see psld help)", args[1])
	}
	if len(args) == 1 {
		v := find(args[0])
		if v == nil {
			return fmt.Errorf("unknown command %q (see psld help)", args[0])
		}
		fs := newFlags(v.name)
		v.setup(fs)
		note := notes[v.name]
		switch v.name {
		case "restore":
			note = taskList("Tasks:", func(t *task.Task) string { return t.Does }) + note
		case "degrade":
			note = taskList("What is lost:", func(t *task.Task) string { return t.Lost }) + "\n" + note
		}
		fmt.Fprintf(w, "%s\n\n%s.\n\n%s", strings.TrimSpace("psld "+v.name+" "+v.args), upperFirst(v.short), note)
		if fs.Lookup("method") != nil || fs.Lookup("methods") != nil {
			fmt.Fprintln(w, "Methods:")
			for _, s := range solver.Specs() {
				fmt.Fprintf(w, "  %-7s %s\n", s.Name, s.Doc)
			}
			fmt.Fprintln(w)
		}
		printFlags(w, fs)
		return nil
	}
	fmt.Fprint(w, `psld restores damaged pictures with a latent diffusion model (PSLD, Rout et al. 2023), such as
Stable Diffusion 1.5 or the small one that it brings along, and makes new ones with it.

Usage:
  psld                      the demo: see it work, results in psld-out/
  psld COMMAND [flags]
  psld help COMMAND         the flags of a command

Commands:
`)
	for _, v := range verbs {
		fmt.Fprintf(w, "  %-9s %s\n", v.name, v.short)
	}
	fmt.Fprintf(w, `  version   print the version

Tasks: %s.
Models: --model takes what psld train makes, and Stable Diffusion 1.x: a diffusers folder, a file
(.safetensors, .ckpt), or the id of one in the Hugging Face cache (HF_HUB_CACHE, else HF_HOME/hub).
Nothing is ever downloaded.
PSLD_KERNELS=generic|neon|avx2|avx512|avx512bf16 forces the kernels of an instruction set.

Exit codes: 0 done, 1 error, 130 stopped by Ctrl-C (restore and generate write what they have).

Credits:
%s`, taskNames(task.All(), ", ", ", "), indent(credit, "  "))
	return nil
}

// notes are the paragraphs between a verb's title and its flags.
var notes = map[string]string{
	"restore": `Masks are given by --mask, kernels by --kernel.
No noise is added to the picture. It keeps its size (times 4 for sr4) and, when
inpainting, its known pixels exactly. Ctrl-C writes the best picture so far and
the state of the run, prints the command that goes on from there, and exits with
code 130.

A run of more than five minutes also keeps its state on disk as it goes
(--save-every), in --out with .state behind (--save-state), until the picture is
written. Whatever ended the program, the same command with --resume goes on from
there and gives the same file as without a break. It is refused, with the reason, where
input, mask, kernel, model, options, --dtype or processor kernels are not the same; --threads,
--max-mem, --save-every, and what comes after the steps (--raw, --sigma, --paste) may differ.
A state is a few hundred kilobytes. The memory that is planned for is the least of --max-mem,
GOMEMLIMIT (heap and weights together) and three quarters of what is available.

`,
	"degrade": `Missing pixels are black. Masks are written white where pixels are missing. The noise is
Gaussian; --sigma is on the scale [-1,1] of the models.

`,
	"eval": `The pictures are spread evenly over the folder; of each the largest central square is scaled to
--size. Every picture has damage and noise of its own, the same for all methods.
Needs no Internet and prints a Markdown table. An eval that was stopped starts over.

`,
	"tune": `For each number of --steps it walks to better omega and gamma, and to a better strength where that is not --fixed, one at a
time by factors of two, then tries --gluing-every; the preset is the setting of least work within --tolerance of the best
mean PSNR. A higher PSNR is not always a better picture: with a free strength large holes come out smooth.
  psld tune --data photos --tasks sr4,denoise --out presets.json
  psld restore --task sr4 --preset presets.json --in small.png --out large.png
The file has every result. After Ctrl-C or --budget the same command goes on from it, and the presets found so far are in
it. --plot measures PSNR against time over --steps and --gluing-every in place of a search:
  psld tune --data photos --tasks sr4 --steps 10,20,50,100,200 --out curve.json --plot curve.png

`,
	"generate": `The start noise of a seed is the one that diffusers users know, and PNG files carry the settings
as AUTOMATIC1111 writes them. Without --model the embedded model makes flowers; it knows no prompts.
  psld generate --model sd15.safetensors --prompt "a photo of a red fox" --negative "blurry" --out fox.png
  psld generate --model sd15.safetensors --prompt "an oil painting" --init photo.jpg --strength 0.6 --out painting.png
Ctrl-C writes the picture as far as it is and exits with code 130.

`,
	"convert": `Every tensor is checked first: its name, its shape, and that its numbers are finite. The result
appears whole or not at all; one tensor at a time is in memory.
  psld convert --in v1-5-pruned-emaonly.ckpt --out sd15.safetensors --dtype f16
  psld convert --in runwayml/stable-diffusion-v1-5 --variant fp16 --out sd15
The first writes one file, the second a diffusers folder, of a model in the Hugging Face cache.

`,
	"bench": `kernels: every heavy operation at the shapes of Stable Diffusion 1.5, against what this machine can do.
step: PSLD steps of the solver itself with UNet and autoencoder of Stable Diffusion 1.5 (no text encoder unless --model
has one), seconds by part, operations, fraction of the ceiling, peak memory. At 512x512 in f32 it takes about 12 GiB.
train: steps of a training on random pictures: pictures a second, operations, how much of it making the pictures takes.
  psld bench step --dtype bf16
  psld bench step --sizes 256,384,512,768,1024 --dtype bf16
The second prints a table of time and memory over the size; --thread-counts 1,2 and --batches 1,2 add rows. Each row
is a process of its own.

`,
	"train": `First the autoencoder, then the UNet on its latents:
  psld train vae --data DIR --val DIR --out runs/vae
  psld train unet --data DIR --val DIR --out runs/unet --vae runs/vae/model.safetensors
  psld restore --model runs/unet ...
Ctrl-C saves a checkpoint; the same command with --resume goes on from it.

`,
}

// taskList has a line for each task under a head.
func taskList(head string, words func(*task.Task) string) string {
	var b strings.Builder
	fmt.Fprintln(&b, head)
	for _, t := range task.All() {
		fmt.Fprintf(&b, "  %-16s %s\n", t.Name, words(t))
	}
	return b.String()
}

// taskNames are the names of tasks with sep between them, and last between the last two.
func taskNames(tasks []*task.Task, sep, last string) string {
	var b strings.Builder
	for i, t := range tasks {
		switch {
		case i == 0:
		case i == len(tasks)-1:
			b.WriteString(last)
		default:
			b.WriteString(sep)
		}
		b.WriteString(string(t.Name))
	}
	return b.String()
}

// newFlags makes an empty set that prints nothing by itself.
func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parse reads flags and up to maxArgs other arguments in any order.
func parse(fs *flag.FlagSet, args []string, maxArgs int) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, flagError(err)
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		if len(rest) == maxArgs {
			return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// flagError turns the messages of package flag into those of this program.
func flagError(err error) error {
	if err == flag.ErrHelp {
		return err
	}
	msg := err.Error()
	for _, r := range [][2]string{
		{"flag provided but not defined: -", "unknown flag --"},
		{"flag needs an argument: -", "no value after --"},
		{"for flag -", "for --"},
		{": parse error", ""},
		{": value out of range", ": out of range"},
	} {
		msg = strings.Replace(msg, r[0], r[1], 1)
	}
	return fmt.Errorf("%s", msg)
}

func printFlags(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprintln(w, "Flags:")
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		left := "--" + f.Name
		if value != "" {
			left += " " + value
		}
		if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" && !strings.Contains(usage, "default") {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-22s %s\n", left, usage)
	})
}

// given lists the flags that the user named.
func given(fs *flag.FlagSet) map[string]bool {
	set := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	return set
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// indent puts pad in front of every line of s.
func indent(s, pad string) string {
	return pad + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n"+pad) + "\n"
}
