package main

import (
	_ "embed" // the credits
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"psld/internal/nearest"
	"psld/psld/solver"
	"psld/psld/task"
)

// credit names the source of the demo's photo.
//
//go:embed NOTICE
var credit string

// printNames prints a list of names and what they are, in two columns.
func printNames[T any](w io.Writer, list []T, of func(T) (name, what string)) {
	width := 0
	for _, v := range list {
		name, _ := of(v)
		width = max(width, len(name))
	}
	for _, v := range list {
		name, what := of(v)
		fmt.Fprintf(w, "  %-*s  %s\n", width, name, what)
	}
}

func help(w io.Writer, args []string) error {
	if len(args) > 0 {
		v := find(args[0])
		if v == nil {
			return unknownVerb(args[0])
		}
		for i, arg := range args[1:] { // psld help train pixel
			kinds, _, _ := strings.Cut(v.args, " ")
			if i >= v.maxArgs || !slices.Contains(strings.Split(kinds, "|"), arg) {
				return fmt.Errorf("unexpected argument %q (see psld help %s)", arg, v.name)
			}
		}
		fs, _ := v.flags()
		lists := ""
		if v.lists != nil {
			lists = v.lists()
		}
		fmt.Fprintf(w, "%s\n\n%s.\n\n%s%s", strings.TrimSpace("psld "+v.name+" "+v.args), upperFirst(v.short), lists,
			v.notes)
		if fs.Lookup("method") != nil || fs.Lookup("methods") != nil {
			fmt.Fprintln(w, "Methods:")
			printNames(w, solver.Specs(), func(s solver.Spec) (string, string) { return s.Name, s.Doc })
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
	all := append(slices.Clone(verbs), &verb{name: "version", short: "print the version"})
	printNames(w, all, func(v *verb) (string, string) { return v.name, v.short })
	fmt.Fprintf(w, `
Tasks: %s.
Models: --model takes what psld train makes, and Stable Diffusion 1.x: a diffusers folder, a file
(.safetensors, .ckpt), or the id of one in the Hugging Face cache (HF_HUB_CACHE, else HF_HOME/hub).
Nothing is ever downloaded.
PSLD_KERNELS=generic|neon|avx2|avx512|avx512bf16|amx forces the kernels of an instruction set.

Defaults of these flags may be set by the environment (PSLD_MODEL, PSLD_MAX_MEM ...) or by lines "name = value" of
psld/config in the folder of settings (on Linux ~/.config; PSLD_CONFIG names another file). Flags win over the
environment, that over the file:
%s.

Names of flags may be written with _ for -, and as other programs have them:
%s.

Exit codes: 0 done, 1 error, 130 stopped by Ctrl-C (restore and generate write what they have).
--json, where a command has it, prints lines of JSON; NO_COLOR=1 leaves coloured characters out.

Credits:
%s`, wrap(taskNames(task.All(), ", ", ", "), len("Tasks: "), 2), wrap("--"+strings.Join(lasting, ", --"), 0, 0),
		aliasLines(),
		indent(credit, "  "))
	return nil
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
		if err := parseFlags(fs, args); err != nil {
			return nil, flagError(fs, err)
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
func flagError(fs *flag.FlagSet, err error) error {
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
	if name, ok := strings.CutPrefix(msg, "unknown flag --"); ok {
		var all []string
		fs.VisitAll(func(f *flag.Flag) { all = append(all, "--"+f.Name) })
		msg += nearest.Hint("--"+strings.TrimLeft(name, "-"), all)
	}
	return errors.New(msg)
}

// flagGroups are the headings under which help shows the flags of commands that have many, in this order. Parameters
// of methods have a heading of their own, and what stands nowhere is a flag of that command alone.
var flagGroups = []struct{ title, names string }{
	{"Files", "in out mask kernel init data val sheet curves preview preview-every like skip-existing overwrite " +
		"no-metadata plot grid"},
	{"The damage", "task tasks task-config mask-box invert-mask kernel-std motion-length motion-angle sigma paste"},
	{"Method", "method methods quality presets reference raw guide-vae seed"},
	{"Model", "model device dtype variant vae vae-tile vocab taesd lora windows"},
	{"Words", "prompt negative cfg emphasis"},
	{"The run", "device threads max-mem max-time save-state save-every resume show json quiet verbose"},
}

// manyFlags is from how many flags on help groups them.
const manyFlags = 17

func printFlags(w io.Writer, fs *flag.FlagSet) {
	byTitle := map[string][]*flag.Flag{}
	all := 0
	fs.VisitAll(func(f *flag.Flag) {
		all++
		title := groupOf(f.Name)
		byTitle[title] = append(byTitle[title], f)
	})
	if all < manyFlags {
		fmt.Fprintln(w, "Flags:")
		fs.VisitAll(func(f *flag.Flag) { printFlag(w, f) })
		return
	}
	titles := []string{ofCommand}
	for _, g := range flagGroups {
		titles = append(titles, g.title)
	}
	for i, title := range append(titles, ofMethods) {
		if len(byTitle[title]) == 0 {
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, title+":")
		for _, f := range byTitle[title] {
			printFlag(w, f)
		}
	}
}

const ofCommand, ofMethods = "Flags", "Parameters of methods"

// groupOf is the heading of a flag.
func groupOf(name string) string {
	for _, g := range flagGroups {
		if slices.Contains(strings.Fields(g.names), name) {
			return g.title
		}
	}
	for _, fields := range sharedFields() {
		if flagName(fields[0].Name) == name {
			return ofMethods
		}
	}
	return ofCommand
}

func printFlag(w io.Writer, f *flag.Flag) {
	value, usage := flag.UnquoteUsage(f)
	left := "--" + f.Name
	if value != "" {
		left += " " + value
	}
	if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" && !strings.Contains(usage, "default") {
		usage += " (default " + f.DefValue + ")"
	}
	const column = 25
	fmt.Fprintf(w, "  %-*s %s\n", column-3, left, wrap(usage, max(column, len(left)+3), column))
}

// wrap breaks a text that begins in the column at into lines that begin in the column indent.
func wrap(text string, at, indent int) string {
	const width = 100
	var b strings.Builder
	for i, word := range strings.Fields(text) {
		switch {
		case i > 0 && at+1+len(word) > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		case i > 0:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
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
