// Command psld restores damaged pictures with latent diffusion. Without arguments it
// shows what it can do on a photo of its own; see `psld help`.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"psld/asm"
	"psld/internal/memstat"
	"psld/internal/nearest"
)

// work does what a verb is for. args are the arguments that are no flags.
type work = func(ctx context.Context, c *console, args []string) error

// verb is one of the program's commands. Each is a file, with its flags, its help and its work.
type verb struct {
	name, args, short string
	lists             func() string // of what there is to choose from, nil for none; help shows it before the notes
	notes             string        // paragraphs of help between title and flags
	setup             func(fs *flag.FlagSet) work
	maxArgs           int  // how many arguments may be no flags
	talks             bool // it says what it is about and how far it is, unless --quiet
}

// flags makes the verb's flags, and what does its work by them.
func (v *verb) flags() (*flag.FlagSet, work) {
	fs := newFlags(v.name)
	do := v.setup(fs)
	if !v.talks {
		return fs, do
	}
	quiet := fs.Bool("quiet", false, "print errors, tables and JSON alone")
	verbose := fs.Bool("verbose", false, "print every step and every warning")
	return fs, func(ctx context.Context, c *console, args []string) error {
		own := *c
		if own.quiet, own.verbose = *quiet, *verbose; *quiet && *verbose {
			return errors.New("--quiet and --verbose contradict each other")
		}
		if *quiet {
			own.log = io.Discard
		}
		return do(ctx, &own, args)
	}
}

// verbs has all verbs, in the order of the help: a new one is a file and a line here.
var verbs = []*verb{&demoVerb, &restoreVerb, &degradeVerb, &evalVerb, &tuneVerb, &generateVerb,
	&serveVerb, &convertVerb, &trainVerb, &methodsVerb, &infoVerb, &benchVerb}

func init() { verbs = append(verbs, &completionVerb, &manVerb) } // they list all verbs

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // a second Ctrl-C ends the program at once
		fmt.Fprintln(os.Stderr, "\nstopping as soon as what is begun is done; Ctrl-C again ends at once")
	})
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// console is where a verb prints: results to out, what accompanies the work to log, and a result that goes to standard
// output itself to data.
type console struct {
	out, log, data io.Writer
	quiet, verbose bool
}

// say prints a line beside the results.
func (c *console) say(format string, args ...any) { fmt.Fprintf(c.log, format+"\n", args...) }

// wrote prints a line on a result that is in a file.
func (c *console) wrote(format string, args ...any) {
	if !c.quiet {
		fmt.Fprintf(c.out, format+"\n", args...)
	}
}

// warn says what the user should know, in a line each.
func (c *console) warn(warnings []string) {
	for _, w := range warnings {
		c.say("warning   %s", message(errors.New(w)))
	}
}

// run does what args ask for and returns the exit code: 0, 1 for an error, 130 after Ctrl-C.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	checked := &checkedWriter{w: stdout}
	err := dispatch(ctx, args, &console{out: checked, log: stderr})
	if checked.err != nil && err == nil {
		err = fmt.Errorf("standard output: %w", checked.err)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		text := strings.TrimSuffix(strings.TrimSuffix(message(err), "context canceled"), ": ")
		if !strings.HasPrefix(text, "stopped") { // not said where
			text = strings.TrimSuffix("stopped: "+text, ": ")
		}
		fmt.Fprintln(stderr, "psld:", text)
		return 130
	}
	fmt.Fprintln(stderr, "psld:", message(err))
	return 1
}

// nothing is the error of work that has nothing to write: where Ctrl-C ended it, it says what there is not.
func nothing(ctx context.Context, err error, there string) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("stopped before the first step was done: there is no %s: %w", there, ctx.Err())
}

// checkedWriter remembers the first error of writing, which whoever prints need not look at.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// checkAddressSpace refuses a limit (ulimit -v) in which the runtime of Go would end the program in the middle of its
// work, and has its collector keep to a larger one.
func checkAddressSpace() error {
	limit := memstat.AddressSpace()
	if limit == 0 {
		return nil
	}
	const least = 768 << 20 // of the smallest restorations
	_, left := memstat.System()
	if left < least {
		return fmt.Errorf("the address space is limited to %s (ulimit -v), of which %s are left: want %s more",
			memstat.Words(limit), memstat.Words(left), memstat.Words(least-left))
	}
	debug.SetMemoryLimit(min(debug.SetMemoryLimit(-1), left/2))
	return nil
}

func dispatch(ctx context.Context, args []string, c *console) error {
	name := "demo"
	if len(args) > 0 {
		switch first := args[0]; first {
		case "-h", "-help", "--help", "help":
			return help(c.out, args[1:])
		case "-version", "--version", "version":
			fmt.Fprintln(c.out, "psld", version())
			return nil
		default:
			if !strings.HasPrefix(first, "-") { // else flags of the demo
				name, args = first, args[1:]
			}
		}
	}
	v := find(name)
	if v == nil {
		return unknownVerb(name)
	}
	fs, work := v.flags()
	if err := applyDefaults(fs); err != nil {
		return err
	}
	rest, err := parse(fs, args, v.maxArgs)
	if errors.Is(err, flag.ErrHelp) {
		return help(c.out, []string{v.name})
	}
	if err != nil {
		return fmt.Errorf("%w (see psld help %s)", err, v.name)
	}
	if err := asm.Forced(); err != nil {
		return err
	}
	log := *c
	if q := fs.Lookup("quiet"); q != nil && q.Value.String() == "true" {
		log.log = io.Discard
	}
	if err := applyLike(v, fs, &log); err != nil {
		return err
	}
	if v.talks { // the others compute nothing
		if err := checkAddressSpace(); err != nil {
			return err
		}
	}
	return work(ctx, c, rest)
}

func find(name string) *verb {
	for _, v := range verbs {
		if v.name == name {
			return v
		}
	}
	return nil
}

func unknownVerb(name string) error {
	return fmt.Errorf("unknown command %q%s (see psld help)", name, nearest.Hint(name, verbNames()))
}

// message is the whole text of err, which has a line for each tensor where those of a model are wrong. The
// names in it come from files: they may not steer the terminal. Long lines are broken, long words lose their middle.
func message(err error) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.TrimSpace(err.Error()))
	const mostLine, mostWord = 290, 240 // 300 with the program's name in front
	var b strings.Builder
	for line := range strings.Lines(text) {
		end, at := "", 0
		line, end = strings.TrimSuffix(line, "\n"), line[len(strings.TrimSuffix(line, "\n")):]
		for i, word := range strings.Split(line, " ") {
			r := []rune(word)
			if len(r) > mostWord {
				r = slices.Concat(r[:mostWord/2], []rune("..."), r[len(r)-mostWord/2:])
			}
			switch {
			case i > 0 && at+1+len(r) > mostLine:
				b.WriteString("\n  ")
				at = 2
			case i > 0:
				b.WriteByte(' ')
				at++
			}
			b.WriteString(string(r))
			at += len(r)
		}
		b.WriteString(end)
	}
	return b.String()
}

// number is the version that CHANGELOG.md is about, which is to come.
const number = "0.1.0"

// release and commit are those of a build by deploy/release.sh.
var release, commit string

// version is that, or else what Go knows of the build, with the commit and Go's own version.
func version() string {
	v, revision := cmp.Or(release, number+"-dev"), commit
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	if revision != "" && !strings.Contains(v, revision[:min(12, len(revision))]) {
		v += " " + revision
	}
	return v + " " + b.GoVersion
}
