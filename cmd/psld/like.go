package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"psld/psld"
	"psld/psld/picture"
	"psld/psld/schedule"
)

// unrecorded are the flags that do not change what a picture looks like.
var unrecorded = []string{"in", "out", "sheet", "curves", "json", "threads", "max-mem", "max-time", "save-state",
	"save-every", "resume", "skip-existing", "like", "preview", "preview-every", "no-metadata", "batch", "quiet",
	"verbose", "show"}

// recordedFiles are the flags that name files, of which a record holds the names without folders.
var recordedFiles = []string{"model", "vae", "vocab", "taesd", "lora", "presets", "mask", "kernel", "init"}

func addLikeFlag(fs *flag.FlagSet) *string {
	return fs.String("like", "", "`PNG` that this command made: its settings, and seed, are taken where flags do not "+
		"say otherwise")
}

// record is what a result holds of the flags that made it; fresh adds the command's flags to a set.
func record(fs *flag.FlagSet, fresh func(*flag.FlagSet), seed uint64) psld.Record {
	r := psld.Record{Command: fs.Name(), Version: version(), Flags: map[string]string{}, Files: map[string]string{}}
	usual, set := newFlags(fs.Name()), given(fs)
	fresh(usual)
	guided := fs.Lookup("guide-vae")
	fs.VisitAll(func(f *flag.Flag) {
		value := f.Value.String()
		switch {
		case f.Name == "seed":
			r.Flags[f.Name] = strconv.FormatUint(seed, 10)
		case slices.Contains(unrecorded, f.Name), !set[f.Name] && value == usual.Lookup(f.Name).Value.String():
		case f.Name == "taesd" && (guided == nil || guided.Value.String() != "true"): // of previews
		case slices.Contains(recordedFiles, f.Name):
			var names []string
			for _, path := range values(f) {
				names = append(names, filepath.Base(path))
			}
			if value != "" {
				r.Files[f.Name] = strings.Join(names, ", ")
			}
		default:
			r.Flags[f.Name] = value
		}
	})
	return r
}

// applyLike gives flags the values of the record in the picture that --like names, where they were not given. What the
// record leaves out is as it comes, whatever the user's settings say.
func applyLike(v *verb, fs *flag.FlagSet, c *console) error {
	like := fs.Lookup("like")
	if like == nil || like.Value.String() == "" {
		return nil
	}
	path := like.Value.String()
	r, err := readLike(v.name, path, c)
	if err != nil {
		return fmt.Errorf("--like: %w", err)
	}
	usual, _ := v.flags()
	set := given(fs)
	fs.VisitAll(func(f *flag.Flag) {
		_, has := r.Flags[f.Name]
		_, file := r.Files[f.Name]
		value := usual.Lookup(f.Name).Value.String()
		if slices.Contains(lasting, f.Name) && !slices.Contains(unrecorded, f.Name) && !has && !file && !set[f.Name] &&
			f.Value.String() != value {
			err = errors.Join(err, setDefault(fs, f.Name, value))
		}
	})
	for _, name := range slices.Sorted(maps.Keys(r.Flags)) {
		switch {
		case fs.Lookup(name) == nil || slices.Contains(unrecorded, name) || slices.Contains(recordedFiles, name):
			err = errors.Join(err, fmt.Errorf("--like %s has a setting %q, which no picture of this program has", path, name))
		case set[name]:
		case slices.Contains(lasting, name):
			err = errors.Join(err, setDefault(fs, name, r.Flags[name]))
		default:
			if e := fs.Set(name, r.Flags[name]); e != nil {
				err = errors.Join(err, fmt.Errorf("--like %s: %s %q: %w", path, name, r.Flags[name], e))
			}
		}
	}
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		f := fs.Lookup(name)
		switch {
		case f == nil:
			return fmt.Errorf("--like %s has a setting %q, which no picture of this program has", path, name)
		case f.Value.String() == "":
			return fmt.Errorf("--like: %s was made with --%s %s, and does not say where that lies: give --%s", path, name,
				r.Files[name], name)
		case filepath.Base(f.Value.String()) != r.Files[name] && name != "mask" && name != "init":
			c.say("note      %s was made with --%s %s", path, name, r.Files[name])
		}
	}
	return nil
}

// readLike is the record in a picture.
func readLike(command, path string, c *console) (*psld.Record, error) {
	texts, err := picture.Texts(path)
	if err != nil {
		return nil, err
	}
	r, err := psld.FindRecord(texts)
	if err != nil {
		return nil, err
	}
	if r != nil && r.Command != command {
		return nil, fmt.Errorf("%s was made by psld %s, not by psld %s", path, r.Command, command)
	}
	if r != nil {
		c.say("like      %s, made by psld %s", path, r.Version)
		return r, nil
	}
	for _, t := range texts {
		if t.Key != "parameters" || command != "generate" {
			continue
		}
		r, left, err := parseParameters(t.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		c.say("like      %s, by its parameters as AUTOMATIC1111 writes them", path)
		if len(left) > 0 {
			c.say("warning   --like: psld has no use for %s", strings.Join(left, ", "))
		}
		return r, nil
	}
	return nil, fmt.Errorf("%s holds no settings of psld %s: only its PNGs do", path, command)
}

// size is a size in pixels.
var size = regexp.MustCompile(`^(\d+)x(\d+)$`)

// parseParameters reads the text that AUTOMATIC1111's program writes into its pictures: the prompt, the negative one,
// and in the last line "name: value" with commas between, where values with commas are quoted. left lists what was not
// understood.
func parseParameters(text string) (r *psld.Record, left []string, err error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if !strings.HasPrefix(last, "Steps: ") {
		return nil, nil, errors.New("its parameters end with no line of settings (Steps: ...)")
	}
	r = &psld.Record{Command: "generate", Flags: map[string]string{}, Files: map[string]string{}}
	var prompt, negative []string
	for _, line := range lines[:len(lines)-1] {
		rest, begins := strings.CutPrefix(line, "Negative prompt:")
		switch {
		case begins && negative == nil:
			negative = []string{strings.TrimSpace(rest)}
		case negative != nil:
			negative = append(negative, line)
		default:
			prompt = append(prompt, line)
		}
	}
	put := func(name, value string) {
		if value != "" {
			r.Flags[name] = value
		}
	}
	put("prompt", strings.TrimSpace(strings.Join(prompt, "\n")))
	put("negative", strings.TrimSpace(strings.Join(negative, "\n")))
	settings, order := settingsOf(last)
	put("steps", settings["Steps"])
	put("cfg", settings["CFG scale"])
	put("seed", settings["Seed"])
	put("eta", settings["Eta"])
	put("rng", map[string]string{"CPU": "torch", "GPU": "cuda", "": "cuda"}[settings["RNG"]])
	if m := size.FindStringSubmatch(settings["Size"]); m != nil {
		put("width", m[1])
		put("height", m[2])
	}
	taken := []string{"Steps", "CFG scale", "Seed", "Eta", "RNG", "Size", "Sampler", "Schedule type", "Model",
		"Model hash", "Version", "VAE hash", "Kernels"}
	if strength := settings["Denoising strength"]; strength != "" && settings["Hires upscale"] == "" {
		put("strength", strength)
		r.Files["init"] = "a picture to start from"
		taken = append(taken, "Denoising strength")
	}
	if settings["Clip skip"] == "1" {
		taken = append(taken, "Clip skip")
	}
	ours := strings.HasPrefix(settings["Version"], "psld")
	if !ours {
		put("emphasis", "true") // that program always reads it
	}
	if settings["Model"] != "" && !(ours && settings["Model"] == "embedded") {
		r.Files["model"] = settings["Model"]
	}
	if name := settings["Sampler"]; name != "" {
		own, err := samplerOf(name, settings["Schedule type"])
		if err != nil {
			return nil, nil, err
		}
		put("sampler", own)
	}
	for _, name := range order {
		if !slices.Contains(taken, name) {
			left = append(left, name+": "+settings[name])
		}
	}
	return r, left, nil
}

// settingsOf splits a line of settings, and lists their names in order.
func settingsOf(line string) (settings map[string]string, order []string) {
	settings = map[string]string{}
	for line != "" {
		name, rest, ok := strings.Cut(line, ":")
		if !ok {
			break
		}
		rest = strings.TrimLeft(rest, " ")
		var value string
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted) // it is as it must be
			rest = rest[len(quoted):]
			_, line, _ = strings.Cut(rest, ",")
		} else {
			value, line, _ = strings.Cut(rest, ",")
		}
		name = strings.TrimSpace(name)
		if _, ok := settings[name]; !ok {
			order = append(order, name)
		}
		settings[name], line = strings.TrimSpace(value), strings.TrimLeft(line, " ")
	}
	return settings, order
}

// samplerOf is this program's name of a sampler and its schedule: DPM++ 2M has that of Karras unless another is named.
func samplerOf(name, kind string) (string, error) {
	base, karras := strings.CutSuffix(name, " Karras")
	for own, other := range samplerNames {
		if other != base {
			continue
		}
		switch kind {
		case "Karras":
			karras = true
		case "Automatic":
			karras = karras || own == "dpm++2m"
		case "", "Normal", "Uniform":
		default:
			return "", fmt.Errorf("schedule type %q is not there; those that are: Karras, Normal", kind)
		}
		if karras {
			own += "_karras"
		}
		if slices.Contains(schedule.Samplers(), own) {
			return own, nil
		}
	}
	return "", fmt.Errorf("sampler %q is not there; those that are: %s", name, strings.Join(schedule.Samplers(), ", "))
}
