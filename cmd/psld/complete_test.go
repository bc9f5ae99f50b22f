package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each shell reads its script and completes by it.
func TestCompletion(t *testing.T) {
	for shell, check := range map[string][]string{"bash": {"-n"}, "zsh": {"-n"}, "fish": {"-n"}} {
		t.Run(shell, func(t *testing.T) {
			script, _ := must(t, "completion", shell)
			require.Contains(t, script, "restore")
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("no %s on this machine", shell)
			}
			file := filepath.Join(t.TempDir(), "script")
			require.NoError(t, os.WriteFile(file, []byte(script), 0o600))
			out, err := exec.Command(path, append(check, file)...).CombinedOutput()
			require.NoError(t, err, string(out))
			for words, want := range map[string]string{"psld resto": "restore", "psld restore --qual": "--quality",
				"psld restore --task deblur-m": "deblur-motion", "psld restore --quality p": "preview"} {
				if shell == "zsh" && !strings.Contains(words, "--qual") {
					continue // each takes a second
				}
				cmd := exec.Command(path, append([]string{"-c", completionAsked[shell], file}, strings.Fields(words)...)...)
				cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TERM=xterm")
				if shell == "fish" { // it has no $0
					cmd = exec.Command(path, "-c", completionAsked[shell], file, words)
				}
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, string(out))
				found, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\t") // fish adds the help
				require.Equal(t, want, found, words)
			}
		})
	}
}

// completionAsked are what each shell is told, to show how it would complete the words that follow the script's name.
// For zsh that means to type them into a shell of its own, and to read the line as it stands after Tab.
var completionAsked = map[string]string{
	"bash": `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _psld; echo "${COMPREPLY[@]}"`,
	"fish": `source $argv[1]; complete -C $argv[2]`,
	"zsh": `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1= PROMPT_EOL_MARK=; autoload -U compinit; compinit -u -D; source $0"
zpty -w z 'show() { local b=${BUFFER%% }; print -r -- "<${b##* }>"; exit }; zle -N show; bindkey "^X" show'
zpty -w z 'print ready'
zpty -r z text '*ready*ready*'
zpty -n -w z "$*"$'\t\x18'
zpty -r z text '*<*>*'
print -r -- "${${text##*<}%%>*}"
`,
}

// The manual has all commands, and no line that roff takes for its own.
func TestManual(t *testing.T) {
	var b bytes.Buffer
	manual(&b)
	for _, v := range verbs {
		require.Contains(t, b.String(), "\n.SH PSLD "+strings.ToUpper(v.name)+"\n")
	}
	known := []string{".TH ", ".SH ", ".B ", ".nf", ".fi"}
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			ok := false
			for _, k := range known {
				ok = ok || strings.HasPrefix(line, k)
			}
			require.True(t, ok, line)
		}
	}
}

// Flags win over the environment, that over the file of settings; what stands there does not count as given.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	t.Setenv("PSLD_CONFIG", file)
	restore := func(args ...string) *restoreFlags {
		fs := newFlags("restore")
		f := addRestoreFlags(fs)
		require.NoError(t, applyDefaults(fs))
		require.NoError(t, fs.Parse(args))
		return f
	}
	require.NoError(t, os.WriteFile(file, []byte("# mine\nquality = best # slow\nmodel=a\n\n"), 0o600))
	f := restore()
	require.Equal(t, []string{"best", "a"}, []string{*f.quality, *f.model.path})
	require.False(t, given(f.fs)["quality"])
	t.Setenv("PSLD_QUALITY", "preview")
	require.Equal(t, "preview", *restore().quality)
	require.Equal(t, "good", *restore("--quality", "good").quality)

	for text, want := range map[string]string{"thread = 2": `did you mean "threads"`, "model": "want name = value",
		"sigma = 1": "cannot be set here", "threads = x": "threads"} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.ErrorContains(t, applyDefaults(addRestoreFlags(newFlags("restore")).fs), want)
	}
	require.NoError(t, os.Remove(file))
	require.Error(t, applyDefaults(addRestoreFlags(newFlags("restore")).fs), "a file that was named and is not there")
}
