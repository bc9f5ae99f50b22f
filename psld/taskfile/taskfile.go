// Package taskfile reads the task files (YAML) of the DPS and PSLD repositories: which damage a test measurement has.
package taskfile

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"psld/internal/config"
	"psld/psld/operator"
	"psld/psld/task"
)

// File is what a task file asks for.
type File struct {
	Task   task.Name
	Values task.Values    // of the test damage
	Noise  operator.Noise // of the measurement; none for "clean"
	Size   int            // pixels a side of the pictures, 0 where it does not tell
	Aside  []string       // entries that say nothing of the measurement, in words
}

// Load reads a task file. What in it is not understood is an error that names it.
func Load(path string) (f File, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if f, err = Parse(b); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Parse is Load for the file's text, with these entries:
//
//	conditioning, data    not of the measurement: Aside
//	measurement:
//	  operator: {name: noise}
//	            {name: super_resolution, scale_factor: 2, 4 or 8, in_shape: [1, 3, size, size]}
//	            {name: gaussian_blur, kernel_size, intensity: standard deviation}
//	            {name: motion_blur, kernel_size, intensity: 0.5}
//	            {name: inpainting}
//	  mask_opt: {mask_type: random, mask_prob_range: [low, high], image_size}
//	            {mask_type: box, mask_len_range: [n, n + 1], image_size}
//	  noise:    {name: gaussian, sigma}, {name: poisson, rate} or {name: clean}
//
// See the configs folder of github.com/DPS2022/diffusion-posterior-sampling. Only square boxes of one size are
// understood, and margins are left at the task's.
func Parse(b []byte) (f File, err error) {
	var doc yaml.Node
	if err := config.YAML(b, &doc, false); err != nil {
		return f, err
	}
	if err := plain(&doc, 0); err != nil {
		return f, err
	}
	root := entries{}
	if err := doc.Decode(&root); err != nil || len(root) == 0 {
		return f, errors.New("it is not a task file: want an entry measurement")
	}
	for _, name := range []string{"conditioning", "data"} {
		if v, ok := root[name]; ok {
			f.Aside = append(f.Aside, fmt.Sprintf("%s %v", name, v))
			delete(root, name)
		}
	}
	m, err := root.sub("measurement")
	if err != nil {
		return f, err
	}
	if err := root.end(""); err != nil {
		return f, err
	}
	if err := f.operator(m); err != nil {
		return f, err
	}
	if f.Noise, err = noise(m); err != nil {
		return f, err
	}
	if err := m.end("measurement."); err != nil {
		return f, err
	}
	return f, task.Must(f.Task).Check(f.Values)
}

// plain takes the tags off, such as !!python/tuple: only what stands below counts. Aliases are refused, and depth.
func plain(n *yaml.Node, depth int) error {
	if n.Kind == yaml.AliasNode || depth > 20 {
		return errors.New("aliases and deep nesting are not read")
	}
	if n.Kind == yaml.SequenceNode || n.Kind == yaml.MappingNode {
		n.Tag = ""
	}
	for _, c := range n.Content {
		if err := plain(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// entries are those of a mapping; what is read is taken out.
type entries map[string]any

// sub takes out a mapping.
func (e entries) sub(name string) (entries, error) {
	v := e[name]
	delete(e, name)
	switch m := v.(type) {
	case entries:
		return m, nil
	case map[string]any:
		return m, nil
	}
	return nil, fmt.Errorf("%s is %v, want entries", name, or(v, "missing"))
}

func or(v, other any) any {
	if v == nil {
		return other
	}
	return v
}

// text takes out a word.
func (e entries) text(name string) (string, error) {
	v, ok := e[name].(string)
	if !ok {
		return "", fmt.Errorf("%s is %v, want a name", name, or(e[name], "missing"))
	}
	delete(e, name)
	return v, nil
}

// number takes out a finite number.
func (e entries) number(name string) (float64, error) {
	v, ok := float(e[name])
	if !ok {
		return 0, fmt.Errorf("%s is %v, want a number", name, or(e[name], "missing"))
	}
	delete(e, name)
	return v, nil
}

func float(v any) (float64, bool) {
	switch x := v.(type) {
	case int:
		return float64(x), true
	case float64:
		return x, !math.IsNaN(x) && !math.IsInf(x, 0)
	}
	return 0, false
}

// numbers takes out n numbers.
func (e entries) numbers(name string, n int) ([]float64, error) {
	list, _ := e[name].([]any)
	var out []float64
	for _, v := range list {
		x, ok := float(v)
		if !ok {
			break
		}
		out = append(out, x)
	}
	if len(out) != n || len(list) != n {
		return nil, fmt.Errorf("%s is %v, want %d numbers", name, or(e[name], "missing"), n)
	}
	delete(e, name)
	return out, nil
}

// end refuses what is left.
func (e entries) end(where string) error {
	if len(e) == 0 {
		return nil
	}
	return fmt.Errorf("%s%s is not understood", where, strings.Join(slices.Sorted(maps.Keys(e)), ", "+where))
}

// operator reads the damage.
func (f *File) operator(m entries) error {
	op, err := m.sub("operator")
	if err != nil {
		return err
	}
	name, err := op.text("name")
	if err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	read, ok := map[string]func(op, m entries) error{
		"noise":            func(entries, entries) error { f.Task = task.Denoise; return nil },
		"super_resolution": func(op, _ entries) error { return f.enlarging(op) },
		"gaussian_blur":    func(op, _ entries) error { return f.gaussian(op) },
		"motion_blur":      func(op, _ entries) error { return f.motion(op) },
		"inpainting":       func(_, m entries) error { return f.inpainting(m) },
	}[name]
	if !ok {
		return fmt.Errorf("operator %q is not understood, want noise, super_resolution, gaussian_blur, motion_blur or "+
			"inpainting", name)
	}
	if err := read(op, m); err != nil {
		return fmt.Errorf("operator %s: %w", name, err)
	}
	return op.end("operator.")
}

func (f *File) enlarging(op entries) error {
	scale, err := op.number("scale_factor")
	if err != nil {
		return err
	}
	var ok bool
	if f.Task, ok = map[float64]task.Name{2: task.SR2, 4: task.SR4, 8: task.SR8}[scale]; !ok {
		return fmt.Errorf("scale_factor is %v, want 2, 4 or 8", scale)
	}
	if op["in_shape"] == nil {
		return nil
	}
	shape, err := op.numbers("in_shape", 4)
	if err == nil && (shape[1] != 3 || shape[2] != shape[3]) {
		err = fmt.Errorf("in_shape is %v, want [1, 3, size, size]", shape)
	}
	if err == nil {
		f.Size, err = size("in_shape", shape[2])
	}
	return err
}

func size(name string, v float64) (int, error) {
	if v != math.Trunc(v) || v < 8 || v > 1<<14 {
		return 0, fmt.Errorf("%s is %v, want 8 to %d pixels a side", name, v, 1<<14)
	}
	return int(v), nil
}

func (f *File) gaussian(op entries) error {
	f.Task = task.DeblurGaussian
	window, err := op.number("kernel_size")
	if err != nil {
		return err
	}
	std, err := op.number("intensity")
	if err != nil {
		return err
	}
	if std <= 0 || window < 8*std+1 {
		return fmt.Errorf("kernel_size is %v and intensity %v, want a window of at least 8 deviations and a pixel", window,
			std)
	}
	f.Values = task.Values{"kernel-std": std}
	return nil
}

func (f *File) motion(op entries) error {
	f.Task = task.DeblurMotion
	window, err := op.number("kernel_size")
	if err != nil {
		return err
	}
	intensity, err := op.number("intensity")
	if err == nil && intensity != 0.5 {
		err = fmt.Errorf("intensity is %v, want 0.5", intensity)
	}
	f.Values = task.Values{"motion-window": window}
	return err
}

func (f *File) inpainting(m entries) error {
	o, err := m.sub("mask_opt")
	if err != nil {
		return err
	}
	kind, err := o.text("mask_type")
	if err != nil {
		return err
	}
	side, err := o.number("image_size")
	if err != nil {
		return err
	}
	if f.Size, err = size("image_size", side); err != nil {
		return err
	}
	switch kind {
	case "random":
		f.Task = task.InpaintRandom
		share, err := o.numbers("mask_prob_range", 2)
		if err != nil {
			return err
		}
		if !(share[0] > 0 && share[0] <= share[1] && share[1] < 1) {
			return fmt.Errorf("mask_prob_range is %v, want two shares between 0 and 1", share)
		}
		f.Values = task.Values{"missing": share[0], "missing-most": share[1]}
	case "box":
		f.Task = task.InpaintBox
		length, err := o.numbers("mask_len_range", 2)
		if err != nil {
			return err
		}
		if length[1] != length[0]+1 || length[0] < 1 || length[0] > side {
			return fmt.Errorf("mask_len_range is %v, want [n, n+1]: boxes of one size", length)
		}
		f.Values = task.Values{"box": length[0] / side}
	default:
		return fmt.Errorf("mask_type %q is not understood, want random or box", kind)
	}
	return o.end("mask_opt.")
}

func noise(m entries) (n operator.Noise, err error) {
	o, err := m.sub("noise")
	if err != nil {
		return n, err
	}
	name, err := o.text("name")
	if err != nil {
		return n, fmt.Errorf("noise: %w", err)
	}
	switch name {
	case "clean":
		n.Kind = operator.GaussianNoise
	case "gaussian":
		n.Kind = operator.GaussianNoise
		n.Level, err = o.number("sigma")
	case "poisson": // counts of 255 rate at white
		n.Kind = operator.PoissonNoise
		n.Level, err = o.number("rate")
		n.Level *= 255
	default:
		err = fmt.Errorf("noise %q is not understood, want gaussian, poisson or clean", name)
	}
	if err == nil {
		err = o.end("noise.")
	}
	if err == nil {
		err = n.Check()
	}
	return n, err
}
