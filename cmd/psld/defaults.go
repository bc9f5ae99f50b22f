package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psld/internal/nearest"
)

// lasting are the flags whose defaults a user may set for good, by the environment or the file of settings: what
// describes the machine and the models on it, and no single picture.
var lasting = []string{"model", "device", "dtype", "variant", "vae", "vocab", "taesd", "windows", "threads", "max-mem",
	"max-time", "quality", "seed", "lpips-weights", "inception-weights", "listen", "token", "host"}

// settingsFile is where the user's settings are read: PSLD_CONFIG, else psld/config in the user's folder of settings.
func settingsFile() (path string, must bool) {
	if path := os.Getenv("PSLD_CONFIG"); path != "" {
		return path, true
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", false
	}
	return filepath.Join(dir, "psld", "config"), false
}

// variable is the environment's name of a flag.
func variable(name string) string {
	return "PSLD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// applyDefaults gives flags the defaults of the file of settings, and over them those of the environment. The flags do
// not count as given.
func applyDefaults(set *flag.FlagSet) error {
	path, must := settingsFile()
	b, err := os.ReadFile(path)
	switch {
	case path == "" || errors.Is(err, fs.ErrNotExist) && !must:
	case err != nil:
		return fmt.Errorf("settings: %w", err)
	default:
		if err := readSettings(path, b, set); err != nil {
			return err
		}
	}
	for _, name := range lasting {
		if v, ok := os.LookupEnv(variable(name)); ok && v != "" {
			if err := setDefault(set, name, v); err != nil {
				return fmt.Errorf("%s: %w", variable(name), err)
			}
		}
	}
	return nil
}

// readSettings reads lines of the form name = value; # begins a comment.
func readSettings(path string, b []byte, set *flag.FlagSet) error {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		name, value, ok := strings.Cut(text, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok:
			return fmt.Errorf("%s:%d: %q, want name = value", path, n, text)
		case !slices.Contains(lasting, name):
			return fmt.Errorf("%s:%d: %q cannot be set here%s; what can: %s", path, n, name, nearest.Hint(name, lasting),
				strings.Join(lasting, ", "))
		}
		if err := setDefault(set, name, value); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return lines.Err()
}

// setDefault changes a flag's default, where the set has the flag.
func setDefault(set *flag.FlagSet, name, value string) error {
	f := set.Lookup(name)
	if f == nil {
		return nil
	}
	if err := f.Value.Set(value); err != nil {
		return fmt.Errorf("%s = %q: %w", name, value, err)
	}
	f.DefValue = f.Value.String()
	return nil
}
