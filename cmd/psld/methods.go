package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"psld/psld"
	"psld/psld/param"
	"psld/psld/server"
	"psld/psld/solver"
	"psld/psld/task"
)

var methodsVerb = verb{
	name: "methods", args: "[METHOD...]", short: "list the methods and the tasks", maxArgs: 1 << 10,
	notes: `With names of methods it lists those alone. Every method takes its parameters as flags of restore and eval.
What a task's best method is was measured with the embedded models on validation pictures; --method auto takes it.

`,
	setup: func(fs *flag.FlagSet) work {
		presets := fs.Bool("presets", false, "print the program's presets instead, in the form that --presets of restore "+
			"and eval reads")
		asJSON := fs.Bool("json", false, "print methods, parameters and tasks as JSON, in the form of the API of psld serve")
		return func(_ context.Context, c *console, args []string) error {
			switch {
			case *presets && *asJSON:
				return errors.New("--presets and --json contradict each other")
			case (*presets || *asJSON) && len(args) > 0:
				return fmt.Errorf("--presets and --json print all methods, not %s alone", strings.Join(args, " and "))
			case *presets:
				_, err := io.WriteString(c.out, psld.BuiltinPresets)
				return err
			case *asJSON:
				return json.NewEncoder(c.out).Encode(map[string]any{"methods": server.Methods(), "tasks": server.Tasks()})
			}
			if len(args) > 0 {
				return showMethods(c, args)
			}
			listMethods(c)
			return nil
		}
	},
}

// showMethods lists the methods of these names.
func showMethods(c *console, names []string) error {
	var specs []solver.Spec
	for _, name := range names {
		s, err := solver.Lookup(name)
		if err != nil {
			return err
		}
		specs = append(specs, s)
	}
	for _, s := range specs {
		show(c.out, s)
	}
	return nil
}

// show prints a method with its parameters.
func show(w io.Writer, s solver.Spec) {
	fmt.Fprintf(w, "  %-10s %s\n", s.Name, s.Doc)
	fmt.Fprintf(w, "  %-10s needs %s\n", "", needs(s.Needs))
	if s.Step != "" {
		fmt.Fprintf(w, "  %-10s a step costs %s\n", "", s.Step)
	}
	for _, f := range param.Fields(s.New()) {
		fmt.Fprintf(w, "  %-10s   %-15s %s; %s, default %v\n", "", f.Name, f.Help, f.Want(), f.Default)
	}
}

func listMethods(c *console) {
	fmt.Fprintln(c.out, "Methods:")
	for _, s := range solver.Specs() {
		show(c.out, s)
	}
	fmt.Fprintln(c.out, "\nTasks:")
	for _, t := range task.All() {
		best := t.Best
		if best == "" {
			best = "psld"
		}
		fmt.Fprintf(c.out, "  %-16s %s; best method here: %s\n", t.Name, t.Does, best)
	}
}

// needs tells what a method cannot do without.
func needs(n solver.Needs) string {
	if !n.Prior {
		return "no model"
	}
	words := []string{"a model"}
	if n.Pixel {
		words[0] = "a model of pixels"
	}
	if n.Gradient {
		words = append(words, "gradients through its networks")
	} else {
		words = append(words, "no gradient")
	}
	if n.SVD {
		words = append(words, "the singular vectors of the damage")
	}
	if n.Mask {
		words = append(words, "holes in the picture")
	}
	if n.Noise {
		words = append(words, "the noise of the measurement")
	}
	return strings.Join(words, "; ")
}
