package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"psld/psld"
	"psld/psld/metric"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/tensor/devices"
)

var completionVerb = verb{
	name: "completion", args: "bash|zsh|fish", short: "print a script that completes commands and flags in a shell",
	maxArgs: 1,
	notes: `  source <(psld completion bash)                                 in ~/.bashrc
  source <(psld completion zsh)                                  in ~/.zshrc, behind compinit
  psld completion zsh > "${fpath[1]}/_psld"                      or once, for all users
  psld completion fish > ~/.config/fish/completions/psld.fish

`,
	setup: func(*flag.FlagSet) work {
		return func(_ context.Context, c *console, args []string) error {
			if len(args) == 1 {
				if write := map[string]func(io.Writer){"bash": bashCompletion, "zsh": zshCompletion,
					"fish": fishCompletion}[args[0]]; write != nil {
					write(c.out)
					return nil
				}
			}
			return fmt.Errorf("completion %s, want bash, zsh or fish", strings.Join(args, " "))
		}
	},
}

var manVerb = verb{
	name: "man", short: "print the manual page: psld man > psld.1; man ./psld.1",
	setup: func(*flag.FlagSet) work {
		return func(_ context.Context, c *console, _ []string) error {
			manual(c.out)
			return nil
		}
	},
}

// choices are the values of flags that have a list of them.
func choices(flagName string) []string {
	switch flagName {
	case "task", "tasks":
		var names []string
		for _, t := range task.All() {
			names = append(names, string(t.Name))
		}
		return names
	case "method":
		return append([]string{psld.Auto}, solver.Names()...)
	case "methods":
		return solver.Names()
	case "metrics":
		var names []string
		for _, m := range metric.List {
			names = append(names, m.Name)
		}
		return names
	case "quality":
		return psld.Qualities()
	case "device":
		var names []string
		for _, b := range devices.Backends {
			names = append(names, b.Name)
		}
		return names
	case "dtype":
		return []string{"f32", "bf16", "bf16fast", "f32x3", "int8"}
	}
	return nil
}

// flagsOf lists a verb's flags.
func flagsOf(v *verb) (list []*flag.Flag) {
	fs, _ := v.flags()
	fs.VisitAll(func(f *flag.Flag) { list = append(list, f) })
	return list
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func verbNames() []string {
	names := []string{"help", "version"}
	for _, v := range verbs {
		names = append(names, v.name)
	}
	return names
}

// valued lists the names of flags with choices, over all verbs.
func valued() (names []string) {
	for _, v := range verbs {
		for _, f := range flagsOf(v) {
			if choices(f.Name) != nil && !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
	}
	return names
}

func bashCompletion(w io.Writer) {
	fmt.Fprintf(w, `# bash completion for psld
_psld() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=
  if ((COMP_CWORD == 1)) && [[ $cur != -* ]]; then
    COMPREPLY=($(compgen -W %q -- "$cur"))
    return
  fi
  case $prev in
`, strings.Join(verbNames(), " "))
	for _, name := range valued() {
		fmt.Fprintf(w, "  --%s) words=%q ;;\n", name, strings.Join(choices(name), " "))
	}
	fmt.Fprintf(w, "  esac\n  if [[ -z $words && $cur == -* ]]; then\n    case ${COMP_WORDS[1]} in\n")
	for _, v := range verbs {
		var flags []string
		for _, f := range flagsOf(v) {
			flags = append(flags, "--"+f.Name)
		}
		fmt.Fprintf(w, "    %s) words=%q ;;\n", v.name, strings.Join(flags, " "))
	}
	fmt.Fprint(w, `    esac
  fi
  if [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  else
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -o filenames -F _psld psld
`)
}

func zshCompletion(w io.Writer) {
	fmt.Fprint(w, "#compdef psld\n_psld() {\n  if ((CURRENT == 2)); then\n    local -a verbs=(\n")
	for _, v := range verbs {
		fmt.Fprintf(w, "      %s\n", quoted(v.name+":"+v.short))
	}
	fmt.Fprint(w, "    )\n    _describe command verbs\n    return\n  fi\n  case $words[2] in\n")
	for _, v := range verbs {
		fmt.Fprintf(w, "  %s)\n    _arguments", v.name)
		for _, f := range flagsOf(v) {
			_, usage := flag.UnquoteUsage(f)
			usage = strings.NewReplacer("[", "(", "]", ")", ":", ",").Replace(usage)
			action := "_files"
			if c := choices(f.Name); c != nil {
				action = "(" + strings.Join(c, " ") + ")"
			}
			spec := "--" + f.Name + "[" + usage + "]"
			if !isBool(f) {
				spec += ":" + f.Name + ":" + action
			}
			fmt.Fprintf(w, " \\\n      %s", quoted(spec))
		}
		fmt.Fprint(w, " \\\n      '*:file:_files'\n    ;;\n")
	}
	fmt.Fprint(w, `  esac
}
if [[ $funcstack[1] == _psld ]]; then # loaded from fpath, as a function
  _psld "$@"
else # sourced
  compdef _psld psld
fi
`)
}

func fishCompletion(w io.Writer) {
	fmt.Fprintln(w, "# fish completion for psld")
	for _, v := range verbs {
		fmt.Fprintf(w, "complete -c psld -n __fish_use_subcommand -f -a %s -d %s\n", v.name, fishQuoted(v.short))
	}
	for _, v := range verbs {
		for _, f := range flagsOf(v) {
			_, usage := flag.UnquoteUsage(f)
			fmt.Fprintf(w, "complete -c psld -n '__fish_seen_subcommand_from %s' -l %s", v.name, f.Name)
			if c := choices(f.Name); c != nil {
				fmt.Fprintf(w, " -x -a %s", fishQuoted(strings.Join(c, " ")))
			} else if !isBool(f) {
				fmt.Fprint(w, " -r")
			}
			fmt.Fprintf(w, " -d %s\n", fishQuoted(usage))
		}
	}
}

func fishQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

// manual writes a page for man, of the help texts.
func manual(w io.Writer) {
	fmt.Fprintf(w, ".TH PSLD 1 \"\" %s \"User Commands\"\n.SH NAME\npsld \\- restore damaged pictures with diffusion "+
		"models\n.SH SYNOPSIS\n.B psld\n[COMMAND] [flags]\n", roff(`"psld `+version()+`"`))
	fmt.Fprint(w, ".SH DESCRIPTION\n")
	var b strings.Builder
	_ = help(&b, nil) // the list of commands cannot fail
	verbatim(w, b.String())
	for _, v := range verbs {
		fmt.Fprintf(w, ".SH %s\n", strings.ToUpper("psld "+v.name))
		b.Reset()
		_ = help(&b, []string{v.name})
		verbatim(w, b.String())
	}
}

// verbatim writes text as it is.
func verbatim(w io.Writer, text string) {
	fmt.Fprint(w, ".nf\n")
	for line := range strings.Lines(text) {
		fmt.Fprint(w, roff(line))
	}
	fmt.Fprint(w, ".fi\n")
}

// roff protects what roff would read as its own.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
