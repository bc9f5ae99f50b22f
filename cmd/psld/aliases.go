package main

import (
	"flag"
	"maps"
	"slices"
	"strings"
)

// aliases are the names that other programs - PSLD's and DPS's scripts, diffusers, stable-diffusion.cpp - have for
// flags. They hold where a verb has the flag and none of that name.
var aliases = map[string]string{
	"ddim-steps": "steps", "num-inference-steps": "steps", "ddim-eta": "eta",
	"cfg-scale": "cfg", "guidance-scale": "cfg", "negative-prompt": "negative", "sampling-method": "sampler",
	"init-img": "init", "init-image": "init", "batch-count": "batch", "W": "width", "H": "height",
	"ckpt": "model", "output": "out", "input": "in", "o": "out", "i": "in",
}

// known is the flag that is meant by a name that no flag has, "" for none: underscores are hyphens, and an alias its
// flag.
func known(fs *flag.FlagSet, name string) string {
	name = strings.ReplaceAll(name, "_", "-")
	if fs.Lookup(name) != nil {
		return name
	}
	if name = aliases[name]; name != "" && fs.Lookup(name) != nil {
		return name
	}
	return ""
}

// parseFlags is fs.Parse that knows aliases.
func parseFlags(fs *flag.FlagSet, args []string) error {
	for {
		err := fs.Parse(args)
		if err == nil || !strings.HasPrefix(err.Error(), "flag provided but not defined: ") {
			return err
		}
		rest := fs.Args()                  // behind the one that is not defined
		arg := args[len(args)-len(rest)-1] // -name, --name, each with =value or without
		name, value, has := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if name = known(fs, name); name == "" {
			return err
		}
		if arg = "--" + name; has {
			arg += "=" + value
		}
		args = slices.Concat([]string{arg}, rest)
	}
}

// aliasLines lists all aliases with their flags.
func aliasLines() string {
	var b strings.Builder
	at := 0
	for i, name := range slices.Sorted(maps.Keys(aliases)) {
		text := "--" + strings.ReplaceAll(name, "-", "_") + " for --" + aliases[name]
		switch {
		case i > 0 && at+len(text) > 110:
			b.WriteString(",\n")
			at = 0
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(text)
		at += len(text) + 2
	}
	return b.String()
}
