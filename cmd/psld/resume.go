package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"psld/psld/solver"
)

// keepFlags say where the state of a run is kept, and whether it goes on from there.
type keepFlags struct {
	fs          *flag.FlagSet
	file, every *string
	resume      *bool
}

func addKeepFlags(fs *flag.FlagSet) *keepFlags {
	return &keepFlags{
		fs: fs,
		file: fs.String("save-state", "", "`file` in which the state of the run is kept until it is done; empty for "+
			"none (default: --out with .state behind)"),
		every: fs.String("save-every", "5m", "`time` or number of steps between two states, such as 90s or 20; 0 keeps "+
			"one only when the run is stopped"),
		resume: fs.Bool("resume", false, "go on from the state of a run that did not end, to the same bits; all other "+
			"flags must be as they were"),
	}
}

// options checks the flags. The state may be none of the other files.
func (f *keepFlags) options(out string, others ...string) (k solver.Keep, err error) {
	set := given(f.fs)
	if k.File = *f.file; !set["save-state"] {
		k.File = stateName(out)
	}
	if n, err := strconv.Atoi(*f.every); err == nil && n >= 0 {
		k.Steps = n
	} else if d, err := time.ParseDuration(*f.every); err == nil && d > 0 {
		k.Every = d
	} else {
		return k, fmt.Errorf("--save-every %s, want a time such as 10m, or a number of steps", *f.every)
	}
	if k.Resume = *f.resume; k.File == "" {
		switch {
		case k.Resume:
			return k, errors.New("--resume needs a state to go on from: leave --save-state out or name a file")
		case set["save-every"]:
			return k, errors.New("--save-every has no meaning without a state: leave --save-state out or name a file")
		}
		return k, nil
	}
	for _, other := range append(others, out) {
		if other != "" && filepath.Clean(other) == filepath.Clean(k.File) {
			return k, fmt.Errorf("--save-state %s is another file of this run: choose another name", k.File)
		}
	}
	if seed := f.fs.Lookup("seed"); k.Resume && seed.Value.String() == "-1" {
		return k, errors.New("--resume needs the seed of the run in place of --seed -1")
	}
	return k, checkOutput("--save-state", k.File, []string{strings.ToLower(filepath.Ext(k.File))}, others...)
}

// stateName is the name of the state beside the output, short where that is as long as names may be; "" where the
// output has nothing beside it.
func stateName(out string) string {
	const longest = 255 // bytes of a name, on all usual file systems
	base := filepath.Base(out)
	switch {
	case isSpecial(out):
		return ""
	case len(base)+len(".state") > longest:
		sum := sha256.Sum256([]byte(base))
		return filepath.Join(filepath.Dir(out), fmt.Sprintf("psld-%x.state", sum[:6]))
	}
	return out + ".state"
}

// look says what state is there already, and refuses to take the place of a file that is none. It returns how
// many steps of the run to resume are done, and of how many: 0 for none.
func (f *keepFlags) look(c *console, k solver.Keep) (done, steps int, err error) {
	if k.File == "" {
		return 0, 0, nil
	}
	st, err := solver.ReadState(k.File)
	switch {
	case k.Resume && err == nil:
		c.say("resume    from %s, after step %d of %d", k.File, st.Step, st.Steps)
		return st.Step, st.Steps, nil
	case k.Resume && errors.Is(err, fs.ErrNotExist):
		return 0, 0, fmt.Errorf("--resume: there is no state %s", k.File)
	case k.Resume:
		return 0, 0, fmt.Errorf("--resume: %w", err)
	case err == nil:
		c.say("note      %s is there from a run that ended after step %d of %d. --resume goes on with that; this run "+
			"starts from the beginning and will replace it", k.File, st.Step, st.Steps)
	case !errors.Is(err, fs.ErrNotExist):
		return 0, 0, fmt.Errorf("--save-state: %w; remove it or name another file", err)
	}
	return 0, 0, nil
}

// command is the line that goes on with the run of the given flags and seed.
func (f *keepFlags) command(seed uint64) string {
	line := "psld " + f.fs.Name()
	if tier := os.Getenv("PSLD_KERNELS"); tier != "" {
		line = "PSLD_KERNELS=" + quoted(tier) + " " + line
	}
	f.fs.Visit(func(g *flag.Flag) {
		value := g.Value.String()
		switch b, ok := g.Value.(interface{ IsBoolFlag() bool }); {
		case g.Name == "resume":
			return
		case g.Name == "seed":
			line += " --seed " + strconv.FormatUint(seed, 10)
			return
		case ok && b.IsBoolFlag() && value == "true":
			line += " --" + g.Name
			return
		case ok && b.IsBoolFlag():
			line += " --" + g.Name + "=" + value
			return
		}
		for _, value := range values(g) {
			line += " --" + g.Name + " " + quoted(value)
		}
	})
	return line + " --resume"
}

// values are those of a flag, of which some may be repeated.
func values(g *flag.Flag) []string {
	if l, ok := g.Value.(interface{ All() []string }); ok {
		return l.All()
	}
	return []string{g.Value.String()}
}

// quoted is a word as a POSIX shell reads it.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=./,:@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
