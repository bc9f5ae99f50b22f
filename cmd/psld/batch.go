package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"psld/psld/picture"
	"psld/psld/prior"
)

// namePart stands for an input's name in the names of outputs.
const namePart = "{name}"

// listFlag is a flag that may be repeated.
type listFlag []string

// String implements [flag.Value].
func (f *listFlag) String() string { return strings.Join(*f, ",") }

// Set implements [flag.Value]: it adds one.
func (f *listFlag) Set(text string) error {
	*f = append(*f, text)
	return nil
}

// All are the values as given, for a command line that repeats the flag.
func (f *listFlag) All() []string { return *f }

// input is a picture that --in names.
type input struct {
	path string
	name string // without extension: below the folder that was named, else of the file alone
}

// inputs lists the pictures of --in. several tells whether it names more than one file: it is repeated, a folder, a
// pattern, or a list with commas.
func (f *restoreFlags) inputs() (list []input, several bool, err error) {
	several = len(f.ins) > 1 || strings.Contains(*f.out, namePart)
	for _, text := range f.ins {
		l, many, err := expand(text)
		if err != nil {
			return nil, false, fmt.Errorf("--in %w", err)
		}
		list, several = append(list, l...), several || many
	}
	if !several {
		return list, false, nil
	}
	known := map[string]bool{}
	list = slices.DeleteFunc(list, func(in input) bool { // named twice
		path := filepath.Clean(in.path)
		defer func() { known[path] = true }()
		return known[path]
	})
	for _, in := range list {
		if in.path == std {
			return nil, false, errors.New("--in -: standard input holds one picture, and cannot be one of several")
		}
		if _, err := os.Stat(in.path); err != nil {
			return nil, false, fmt.Errorf("--in: %w", err)
		}
	}
	return list, true, nil
}

// expand lists the pictures of one value of --in. What is there as it is written is taken so, commas and brackets
// included.
func expand(text string) (list []input, several bool, err error) {
	alone := input{text, stem(filepath.Base(text))}
	info, err := os.Stat(text)
	switch {
	case text == std || err == nil && !info.IsDir():
		return []input{alone}, false, nil
	case err == nil:
		paths, err := picture.Files(text)
		for _, path := range paths {
			name, e := filepath.Rel(text, path)
			if e != nil {
				return nil, false, e
			}
			list = append(list, input{path, stem(name)})
		}
		return list, true, err
	}
	matches, err := filepath.Glob(text)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", text, err)
	}
	for _, path := range matches {
		if info, err := os.Stat(path); err == nil && !info.IsDir() && picture.HasName(path) {
			list = append(list, input{path, stem(filepath.Base(path))})
		}
	}
	parts := strings.Split(text, ",")
	switch {
	case len(list) > 0:
		return list, true, nil
	case len(parts) == 1 && strings.ContainsAny(text, "*?["):
		return nil, false, fmt.Errorf("%s: no picture has a name of this pattern", text)
	case len(parts) == 1:
		return []input{alone}, false, nil // reading it tells what is wrong
	}
	for len(parts) > 0 {
		n := len(parts) // of the parts that are a name together
		for ; n > 1; n-- {
			if _, err := os.Stat(strings.Join(parts[:n], ",")); err == nil {
				break
			}
		}
		l, _, err := expand(strings.Join(parts[:n], ","))
		if err != nil {
			return nil, false, err
		}
		list, parts = append(list, l...), parts[n:]
	}
	return list, true, nil
}

func stem(name string) string { return strings.TrimSuffix(name, filepath.Ext(name)) }

// companions finds what belongs to inputs: the file at path, or where that is a folder the picture in it of the
// input's name, with any extension.
func companions(flag, path string, inputs []input) ([]string, error) {
	found := slices.Repeat([]string{path}, len(inputs))
	if info, err := os.Stat(path); path == "" || err != nil || !info.IsDir() {
		return found, nil
	}
	files, err := picture.Files(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	named := map[string][]string{}
	for _, file := range files {
		name, err := filepath.Rel(path, file)
		if err != nil {
			return nil, err
		}
		named[stem(name)] = append(named[stem(name)], file)
	}
	var missing []string
	for i, in := range inputs {
		own := named[in.name]
		if own == nil {
			own = named[filepath.Base(in.name)]
		}
		switch len(own) {
		case 0:
			missing = append(missing, in.path)
		case 1:
			found[i] = own[0]
		default:
			return nil, fmt.Errorf("%s %s has both %s and %s for %s", flag, path, own[0], own[1], in.path)
		}
	}
	const most = 5
	if n := len(missing); n > 0 {
		more := ""
		if n > most {
			missing, more = missing[:most], ", ..."
		}
		return nil, fmt.Errorf("%s %s has no picture of the same name for %d of %d inputs: %s%s", flag, path, n,
			len(inputs), strings.Join(missing, ", "), more)
	}
	return found, nil
}

// batch restores several pictures, one after the other, as each would be alone.
type batch struct {
	*restoreFlags
	c      *console
	jobs   []job
	runs   []*restoration // those of the jobs, once they are checked
	seed   uint64
	models map[bool]prior.Prior // those that are open
}

// job is one of the pictures: the values of those flags that differ.
type job struct {
	in, out, sheet, curves, mask, kernel string
}

// plan finds out which files belong to each input, and refuses outputs that would collide.
func (b *batch) plan(inputs []input) error {
	masks, err := companions("--mask", *b.mask, inputs)
	if err != nil {
		return err
	}
	kernels, err := companions("--kernel", *b.kernel, inputs)
	if err != nil {
		return err
	}
	for _, flag := range [][2]string{{"--out", *b.out}, {"--sheet", *b.sheet}, {"--curves", *b.curves}} {
		if err := b.checkPlace(flag[0], flag[1]); err != nil {
			return err
		}
	}
	taken := map[string]string{} // what is at a path
	claim := func(path, what string) (other string) {
		key := filepath.Clean(path)
		if whole, err := filepath.Abs(path); err == nil {
			key = whole
		}
		if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
			key = strings.ToLower(key)
		}
		if other = taken[key]; other == "" {
			taken[key] = what
		}
		return other
	}
	for i, in := range inputs {
		for _, path := range []string{in.path, masks[i], kernels[i]} {
			if path != "" {
				claim(path, "the input "+path)
			}
		}
	}
	for i, in := range inputs {
		j := job{in.path, outputOf(*b.out, in), outputOf(*b.sheet, in), outputOf(*b.curves, in), masks[i], kernels[i]}
		for _, path := range []string{j.out, j.sheet, j.curves} {
			if path == "" {
				continue
			}
			if other := claim(path, "the result of "+in.path); other != "" {
				return fmt.Errorf("%s would be the result of %s, but also is %s: give the files other names, or --out "+
					"a pattern such as 'out/%s-restored.png'", path, in.path, other, namePart)
			}
		}
		b.jobs = append(b.jobs, j)
	}
	return nil
}

// checkPlace looks at an output's folder or pattern, "" for none.
func (b *batch) checkPlace(flag, text string) error {
	if text == "" {
		return nil
	}
	folder := text
	if before, _, ok := strings.Cut(text, namePart); ok {
		folder = filepath.Dir(before + "x")
	} else if info, err := os.Stat(text); text == std || err == nil && !info.IsDir() ||
		err != nil && slices.Contains(pictureFiles, strings.ToLower(filepath.Ext(text))) {
		return fmt.Errorf("%s %s is one file, and --in names several: want a folder, or a name with %s in it", flag, text,
			namePart)
	}
	for _, in := range b.ins {
		if info, err := os.Stat(in); err == nil && info.IsDir() && isInside(folder, in) {
			return fmt.Errorf("%s %s lies in the folder of the inputs: choose another one", flag, text)
		}
	}
	return nil
}

// outputOf is the name of an input's output in a folder or of a pattern, "" for none.
func outputOf(text string, in input) string {
	switch {
	case text == "":
		return ""
	case strings.Contains(text, namePart):
		return strings.ReplaceAll(text, namePart, in.name)
	}
	return filepath.Join(text, in.name+".png")
}

// there tells whether the picture is restored already, and is not one that was stopped on its way.
func (j job) there() bool {
	_, err := os.Stat(j.out)
	return err == nil && !exists(stateName(j.out))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return path != "" && err == nil
}

// alone is the run of one picture: the flags as if it had been named alone.
func (b *batch) alone(j job) (*restoration, error) {
	fs, set := newFlags(b.fs.Name()), given(b.fs)
	f := addRestoreFlags(fs)
	var err error
	b.fs.VisitAll(func(g *flag.Flag) {
		switch {
		case fs.Lookup(g.Name) == nil: // of all verbs
			return
		case g.Name == "in" || g.Name == "skip-existing" || g.Name == "resume":
			return
		case !set[g.Name] && g.Value.String() != fs.Lookup(g.Name).Value.String(): // the user's settings, or --like
			err = errors.Join(err, setDefault(fs, g.Name, g.Value.String()))
		}
		if !set[g.Name] {
			return
		}
		for _, value := range values(g) {
			switch g.Name {
			case "out":
				value = j.out
			case "sheet":
				value = j.sheet
			case "curves":
				value = j.curves
			case "mask":
				value = j.mask
			case "kernel":
				value = j.kernel
			case "seed":
				value = strconv.FormatUint(b.seed, 10)
			}
			err = errors.Join(err, fs.Set(g.Name, value))
		}
	})
	if *b.keep.resume && exists(stateName(j.out)) {
		err = errors.Join(err, fs.Set("resume", "true"))
	}
	err = errors.Join(err, fs.Set("in", j.in))
	*f.in = j.in
	return &restoration{restoreFlags: f, c: b.c, models: b.models, many: true}, err
}

// check looks at all that needs no picture, of each of the runs, and makes the folders.
func (b *batch) check(ctx context.Context) error {
	for i, j := range b.jobs {
		r, err := b.alone(j)
		if err == nil {
			err = r.check(ctx)
		}
		if err == nil && i == 0 && *b.keep.file != "" {
			err = fmt.Errorf("--save-state %s is one file, and --in names several: leave it out, and each picture has its "+
				"own", *b.keep.file)
		}
		if err != nil {
			return err
		}
		for _, path := range []string{j.out, j.sheet, j.curves} {
			if path == "" {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				return fmt.Errorf("--out %s cannot be written: %w", path, err)
			}
		}
		if err := r.checkFiles(ctx); err != nil {
			return err
		}
		b.runs = append(b.runs, r)
	}
	return nil
}

// batch restores all inputs.
func (f *restoreFlags) batch(ctx context.Context, c *console, inputs []input) (err error) {
	if _, err := required(*f.task, f.ins.String(), *f.out); err != nil {
		return err
	}
	b := &batch{restoreFlags: f, c: c, models: map[bool]prior.Prior{}}
	if b.seed, err = f.seed(); err != nil {
		return err
	}
	if err := b.plan(inputs); err != nil {
		return err
	}
	skipped := 0
	if *f.skip {
		b.jobs = slices.DeleteFunc(b.jobs, job.there)
		skipped = len(inputs) - len(b.jobs)
	}
	if err := b.check(ctx); err != nil {
		return err
	}
	start, done, failed := time.Now(), 0, []string(nil)
	for i, j := range b.jobs {
		if ctx.Err() != nil {
			break
		}
		c.say("\npicture %d of %d", i+1, len(b.jobs))
		r := b.runs[i]
		b.runs[i] = nil // with its pictures, when it is done
		err := r.restore(ctx)
		switch {
		case err == nil:
			done++
		case errors.Is(err, ctx.Err()):
		case r.noModel: // no picture can do without
			return err
		default:
			failed = append(failed, fmt.Sprintf("%s: %s", j.in, message(err)))
			c.say("failed    %s: %s", j.in, message(err))
			if *f.asJSON {
				printJSON(c, map[string]any{"in": j.in, "error": err.Error()})
			}
		}
	}
	if *f.asJSON {
		printJSON(c, map[string]any{"pictures": len(inputs), "done": done, "skipped": skipped, "failed": len(failed),
			"seconds": time.Since(start).Seconds(), "stopped": ctx.Err() != nil})
	} else {
		c.wrote("%d of %d pictures restored in %s; %d skipped that were there, %d failed", done, len(inputs),
			round(time.Since(start)), skipped, len(failed))
	}
	if len(failed) > 0 {
		err = fmt.Errorf("%d of %d pictures failed:\n  %s", len(failed), len(inputs), strings.Join(failed, "\n  "))
	}
	if ctx.Err() != nil {
		c.say("the same command with --resume --skip-existing goes on from here")
		return errors.Join(err, ctx.Err())
	}
	return err
}
