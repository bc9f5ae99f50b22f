package psld

import (
	_ "embed" // the presets that come with the program
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"psld/internal/config"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
)

// BuiltinPresets is the text of the presets that come with the program.
//
//go:embed presets.yaml
var BuiltinPresets string

// Names of models that presets are for: PresetsEmbedded is for the embedded ones, and all others that are not named.
const (
	PresetsEmbedded        = "embedded"
	PresetsStableDiffusion = prior.FamilyStableDiffusion
)

// PresetsDefault is the task whose presets tasks without their own have.
const PresetsDefault Task = "default"

// Presets are parameters of methods by the name of the models that they are for.
type Presets map[string]ModelPresets

// ModelPresets are parameters by task and method.
type ModelPresets struct {
	// Size is the side of the pictures that they were found on, in pixels; 0 for any: then nothing grows with the side.
	Size  int                              `json:"size,omitempty" yaml:"size"`
	Tasks map[Task]map[string]param.Values `json:"tasks" yaml:"tasks"`
}

// presetFile is the form of a file of presets.
type presetFile struct {
	Presets Presets   `yaml:"presets"`
	Tuning  yaml.Node `yaml:"tuning"` // by what psld tune found them
}

// LoadPresets reads a file of presets (YAML, or JSON), such as psld tune writes. What no run could use is an error:
// names of models, tasks, methods and parameters that there are not, and values out of their range.
func LoadPresets(path string) (Presets, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := ParsePresets(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// ParsePresets is LoadPresets for the file's text.
func ParsePresets(b []byte) (Presets, error) {
	var f presetFile
	if err := config.YAML(b, &f, true); err != nil {
		return nil, err
	}
	if len(f.Presets) == 0 {
		return nil, errors.New("it has no presets: want the entry presets, with a model, a task, a method and " +
			"its parameters")
	}
	return f.Presets, f.Presets.check()
}

func (p Presets) check() error {
	for _, name := range sortedKeys(p) {
		if name != PresetsEmbedded && name != PresetsStableDiffusion {
			return fmt.Errorf("presets of models %q, want %s or %s", name, PresetsEmbedded, PresetsStableDiffusion)
		}
		m := p[name]
		if m.Size != 0 && (m.Size < 8 || m.Size > 1<<16) {
			return fmt.Errorf("%s: presets for pictures of size %d, want 8 to %d", name, m.Size, 1<<16)
		}
		for _, t := range sortedKeys(m.Tasks) {
			if _, err := task.Find(string(t)); err != nil && t != PresetsDefault {
				return fmt.Errorf("%s: %w", name, err)
			}
			for _, method := range sortedKeys(m.Tasks[t]) {
				spec, err := solver.Lookup(method)
				switch {
				case err != nil:
				case spec.Name != method:
					err = fmt.Errorf("its name here is %s", spec.Name)
				default:
					err = m.Tasks[t][method].Apply(spec.Default())
				}
				if err != nil {
					return fmt.Errorf("%s, %s, %s: %w", name, t, method, err)
				}
			}
		}
	}
	return nil
}

// builtin are the presets of the program. They are in order: a test reads them.
var builtin = sync.OnceValue(func() Presets {
	p, err := ParsePresets([]byte(BuiltinPresets))
	if err != nil {
		panic(err)
	}
	return p
})

// PresetsNameOf is the name of the presets for a model; nil is for none.
func PresetsNameOf(m prior.Prior) string {
	if isStableDiffusion(m) {
		return PresetsStableDiffusion
	}
	return PresetsEmbedded
}

// find is the preset of a method for a task, and the size that it is for. Those of all models stand in where a model
// has none, psld for its relatives, and the default for other tasks.
func (p Presets) find(model string, t Task, method string) (v param.Values, size int, ok bool) {
	methods := []string{method}
	if slices.Contains(family, method) && method != "psld" {
		methods = append(methods, "psld")
	}
	for _, name := range slices.Compact([]string{model, PresetsEmbedded}) {
		for _, t := range []Task{t, PresetsDefault} {
			for _, method := range methods {
				if v, ok := p[name].Tasks[t][method]; ok {
					return v, p[name].Size, true
				}
			}
		}
	}
	return nil, 0, false
}

// Text is the file of presets, with the comment at its head.
func (p Presets) Text(comment string) string {
	var b strings.Builder
	for line := range strings.Lines(comment) {
		b.WriteString("# " + strings.TrimRight(line, "\n") + "\n")
	}
	b.WriteString("presets:\n")
	for _, name := range sortedKeys(p) {
		fmt.Fprintf(&b, "  %s:\n", name)
		if p[name].Size > 0 {
			fmt.Fprintf(&b, "    size: %d\n", p[name].Size)
		}
		b.WriteString("    tasks:\n")
		for _, t := range sortedKeys(p[name].Tasks) {
			fmt.Fprintf(&b, "      %s:\n", t)
			for _, method := range sortedKeys(p[name].Tasks[t]) {
				fmt.Fprintf(&b, "        %s: {%s}\n", method, Words(method, p[name].Tasks[t][method]))
			}
		}
	}
	return b.String()
}

// Words are the parameters of a method that are set, in the method's order: "steps: 20, gamma: 0.1".
func Words(method string, v param.Values) string {
	spec, err := solver.Lookup(method)
	if err != nil {
		return ""
	}
	var list []string
	for _, f := range param.Fields(spec.New()) {
		if x, ok := v[f.Name]; ok {
			list = append(list, fmt.Sprintf("%s: %v", f.Name, x))
		}
	}
	return strings.Join(list, ", ")
}
