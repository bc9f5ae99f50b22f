package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"psld/internal/memstat"
	"psld/psld"
	"psld/psld/param"
	"psld/psld/solver"
)

// methodFlags are the parameters of all methods, and what restore and eval share beside them.
type methodFlags struct {
	fs        *flag.FlagSet
	values    param.Values // those given
	reference *bool
	raw       *bool
	preset    *string
}

func addMethodFlags(fs *flag.FlagSet) *methodFlags {
	f := &methodFlags{
		fs: fs, values: param.Values{},
		reference: fs.Bool("reference", false,
			"follow the published code, its mistakes included: gluing, a sampled encoder, a start from noise; projections"),
		raw: fs.Bool("raw", false,
			"leave out the last step, which moves the result to the measurement in pixel space, and of denoise allows for "+
				"noise that was cut off at black and white"),
		preset: fs.String("presets", "", "`file` of presets, as psld tune writes and psld methods --presets prints; "+
			"other flags win over it"),
	}
	for _, fields := range sharedFields() {
		fs.Var(&paramFlag{fields[0].Field, f.values}, flagName(fields[0].Name), usage(fields))
	}
	return f
}

// methodField is a parameter of methods.
type methodField struct {
	param.Field
	methods []string
}

// sharedFields lists the parameters of all methods: those of the same name together, in one entry where they say the
// same.
func sharedFields() (list [][]methodField) {
	for _, spec := range solver.Specs() {
		for _, f := range param.Fields(spec.New()) {
			i := slices.IndexFunc(list, func(l []methodField) bool { return l[0].Name == f.Name })
			if i < 0 {
				i, list = len(list), append(list, nil)
			}
			k := slices.IndexFunc(list[i], func(g methodField) bool { return g.Help == f.Help && g.Default == f.Default })
			if k < 0 {
				list[i] = append(list[i], methodField{f, []string{spec.Name}})
			} else {
				list[i][k].methods = append(list[i][k].methods, spec.Name)
			}
		}
	}
	return list
}

// flagName is a parameter's name as a flag.
func flagName(name string) string { return strings.ReplaceAll(name, "_", "-") }

// usage is the help of a flag. Where methods have different parameters of its name it says whose is which.
func usage(fields []methodField) string {
	var parts []string
	for _, f := range fields {
		text := f.Help
		if f.Choices != nil || f.Kind != reflect.Bool && !math.IsInf(f.Max, 1) {
			text += ", " + f.Want()
		}
		if f.Kind != reflect.Bool {
			text = fmt.Sprintf("%s (default: the task's preset, else %v)", text, f.Default)
		}
		if len(fields) > 1 {
			text = strings.Join(f.methods, ", ") + ": " + text
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, "; ")
	word, rest, _ := strings.Cut(text, " ")
	switch f := fields[0]; {
	case f.Kind == reflect.Bool:
		return text
	case len(fields) > 1 && f.Kind == reflect.Int:
		return "`N` of " + text
	case len(fields) > 1:
		return "`x` of " + text
	case f.Kind == reflect.Int:
		return "`N` " + text
	}
	return "`" + word + "` " + rest
}

// paramFlag is a parameter as a flag.
type paramFlag struct {
	field  param.Field
	values param.Values
}

func (f *paramFlag) String() string {
	if v, ok := f.values[f.field.Name]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// IsBoolFlag says that no value need follow.
func (f *paramFlag) IsBoolFlag() bool { return f.field.Kind == reflect.Bool }

// Set takes what is of the right kind; options checks ranges.
func (f *paramFlag) Set(text string) (err error) {
	var v any = text
	switch f.field.Kind {
	case reflect.Bool:
		v, err = strconv.ParseBool(text)
	case reflect.Int:
		v, err = strconv.Atoi(text)
	case reflect.Float64:
		v, err = strconv.ParseFloat(text, 64)
	}
	if err != nil {
		return errors.New("parse error")
	}
	f.values[f.field.Name] = v
	return nil
}

// taking are the names of the methods that have a parameter.
func taking(parameter string) (names []string) {
	for _, s := range solver.Specs() {
		if slices.ContainsFunc(param.Fields(s.New()), func(f param.Field) bool { return f.Name == parameter }) {
			names = append(names, s.Name)
		}
	}
	return names
}

// options checks the flags against the methods, and returns those that were given; the others keep their presets.
func (f *methodFlags) options(methods ...string) (o psld.Options, err error) {
	known := param.Values{}
	for _, name := range methods {
		spec, err := solver.Lookup(name)
		if err != nil {
			return o, err
		}
		m := spec.Default()
		mine := f.values.Only(m)
		if err := mine.Apply(m); err != nil {
			if wrong := new(param.Error); errors.As(err, &wrong) {
				wrong.Name = "--" + flagName(wrong.Name)
			}
			return o, err
		}
		maps.Copy(known, mine)
	}
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if _, ok := known[name]; !ok {
			return o, fmt.Errorf("--%s has no meaning for method %s, but for %s", flagName(name),
				strings.Join(methods, ", "), strings.Join(taking(name), ", "))
		}
	}
	if *f.preset != "" {
		if o.Presets, err = psld.LoadPresets(*f.preset); err != nil {
			return o, fmt.Errorf("--presets: %w", err)
		}
	}
	o.Params, o.Reference, o.Raw = f.values, *f.reference, *f.raw
	return o, nil
}

// deviationFlag is a standard deviation of noise, on [-1,1], or on the scale of bytes when written as 12/255.
type deviationFlag struct {
	text  string
	value float64
}

// addDeviationFlag adds --sigma; 0 as default is none.
func addDeviationFlag(fs *flag.FlagSet, value float64, usage string) *float64 {
	f := &deviationFlag{value: value}
	if value != 0 {
		f.text = fmt.Sprint(value)
	}
	fs.Var(f, "sigma", usage+", or on 0 to 255 as in 12/255")
	return &f.value
}

func (f *deviationFlag) String() string { return f.text }

// mostDeviation of noise is the whole range: what is larger was meant on 0 to 255.
const mostDeviation = 2

// Set reads a number, with /255 behind it or not.
func (f *deviationFlag) Set(text string) error {
	number, bytes := strings.CutSuffix(strings.TrimSpace(text), "/255")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return errors.New("want a number, such as 0.05 on [-1,1] or 12/255")
	}
	if bytes {
		v /= 127.5 // [-1,1] is 255 wide
	}
	if !(v >= 0 && v <= mostDeviation) { // NaN too
		text := fmt.Sprintf("want 0 to %d on [-1,1]", mostDeviation)
		if v <= 255 {
			text += fmt.Sprintf(", or %s/255", number)
		}
		return errors.New(text)
	}
	f.text, f.value = text, v
	return nil
}

// parseSize reads a size of memory: a number with B, KiB, MiB, GiB or TiB, of which "iB" may be left out; "" is 0.
// A number alone is one of bytes: a small one was meant to have a unit.
func parseSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number := strings.TrimRight(text, "BbiIkKmMgGtT ")
	unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text[len(number):])), "b"), "i")
	shift, ok := map[string]uint{"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[unit]
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || !(v > 0) || v*float64(int64(1)<<shift) > 1<<60 {
		return 0, fmt.Errorf("%q, want a size such as 8GiB or 700MiB", text)
	}
	if text == number && v < 1<<20 {
		return 0, fmt.Errorf("%q is %s: want a size with its unit, such as %sG or 700M", text, memstat.Words(int64(v)), text)
	}
	return int64(v * float64(int64(1)<<shift)), nil
}
