// Package param reads what a method's parameters are off the tags of its struct: names, help, ranges, defaults. From
// that one place come flags, JSON, presets, the checks and their error texts, and the facts of a kept run.
//
//	type Options struct {
//		Steps int     `json:"steps" range:"1..1000" default:"30" help:"DDIM steps"`
//		Gamma float64 `json:"gamma" range:"0.." help:"weight of the gluing" scale:"side"`
//		Back  string  `json:"back" choices:"adjoint|pinv" default:"adjoint" help:"how the picture is glued"`
//	}
//
// Fields are int, float64, bool or string; embedded structs count as their fields. A range is low..high, each end
// included; ">" before the low end leaves it out, no high end means any finite number. scale:"side" says that a
// preset's value grows with the side of the picture.
package param

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"psld/internal/nearest"
)

// Field is one parameter.
type Field struct {
	Name    string       // as in JSON
	Help    string       // a phrase
	Unit    string       // "" for none
	Kind    reflect.Kind // Int, Float64, Bool or String
	Min     float64      // of a number
	Max     float64      // +Inf for any finite number
	MinOpen bool         // Min itself is too little
	Choices []string     // of a string, nil for any
	Default any          // of the field's type; the zero value where no tag gives one
	Scales  bool         // presets grow with the side of the picture

	index []int
}

// Fields lists the parameters of a struct, or a pointer to one, in their order. It panics where a tag makes no sense.
func Fields(p any) []Field {
	t := reflect.TypeOf(p)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var list []Field
	for _, sf := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if sf.Anonymous || !sf.IsExported() || name == "" || name == "-" {
			continue
		}
		f := Field{Name: name, Help: sf.Tag.Get("help"), Unit: sf.Tag.Get("unit"), Kind: sf.Type.Kind(),
			Scales: sf.Tag.Get("scale") == "side", Min: math.Inf(-1), Max: math.Inf(1), index: sf.Index}
		if c := sf.Tag.Get("choices"); c != "" {
			f.Choices = strings.Split(c, "|")
		}
		if r := sf.Tag.Get("range"); r != "" {
			f.parseRange(r)
		}
		v := reflect.New(sf.Type).Elem()
		if d, ok := sf.Tag.Lookup("default"); ok {
			if err := f.set(v, d); err != nil {
				panic(fmt.Sprintf("param: default of %v.%s: %v", t, sf.Name, err))
			}
		}
		f.Default = v.Interface()
		list = append(list, f)
	}
	return list
}

func (f *Field) parseRange(text string) {
	lo, hi, ok := strings.Cut(text, "..")
	if f.MinOpen = strings.HasPrefix(lo, ">"); f.MinOpen {
		lo = lo[1:]
	}
	var err error
	if f.Min, err = strconv.ParseFloat(lo, 64); err == nil && hi != "" {
		f.Max, err = strconv.ParseFloat(hi, 64)
	}
	if err != nil || !ok {
		panic(fmt.Sprintf("param: range %q of %s, want low..high", text, f.Name))
	}
}

// Want says in words which values the parameter takes.
func (f Field) Want() string {
	switch {
	case f.Choices != nil:
		last := len(f.Choices) - 1
		return strings.TrimPrefix(strings.Join(f.Choices[:last], ", ")+" or "+f.Choices[last], " or ")
	case f.Kind == reflect.Bool:
		return "true or false"
	case f.Kind == reflect.String:
		return "text"
	}
	number := "a finite number"
	if f.Kind == reflect.Int {
		number = "a whole number"
	}
	low := fmt.Sprintf("at least %v", f.Min)
	if f.MinOpen {
		low = fmt.Sprintf("more than %v", f.Min)
	}
	switch {
	case math.IsInf(f.Min, -1):
		return number
	case math.IsInf(f.Max, 1):
		return number + " of " + low
	case f.MinOpen:
		return fmt.Sprintf("%s and at most %v", low, f.Max)
	}
	return fmt.Sprintf("%v to %v", f.Min, f.Max)
}

// Error is a value that a parameter does not take.
type Error struct {
	Name  string
	Value any
	Want  string
}

func (e *Error) Error() string {
	if s, ok := e.Value.(string); ok {
		return fmt.Sprintf("%s %q, want %s", e.Name, s, e.Want)
	}
	return fmt.Sprintf("%s %v, want %s", e.Name, e.Value, e.Want)
}

// Parse makes a value of the field's type of v: one of that type, a number for another type of number, or text. A
// value that the parameter does not take is an [*Error].
func (f Field) Parse(v any) (any, error) {
	x := reflect.New(reflect.TypeOf(f.Default)).Elem()
	err := f.set(x, v)
	return x.Interface(), err
}

// set writes v, see Parse, to a variable of the field's type.
func (f Field) set(to reflect.Value, v any) error {
	bad := &Error{f.Name, v, f.Want()}
	if text, ok := v.(string); ok && f.Kind != reflect.String {
		var err error
		if f.Kind == reflect.Bool {
			v, err = strconv.ParseBool(text)
		} else {
			v, err = strconv.ParseFloat(text, 64)
		}
		if err != nil {
			return bad
		}
	}
	from := reflect.ValueOf(v)
	switch {
	case f.Kind == reflect.Bool && from.Kind() == reflect.Bool:
		to.SetBool(from.Bool())
	case f.Kind == reflect.String && from.Kind() == reflect.String:
		to.SetString(from.String())
	case (f.Kind == reflect.Int || f.Kind == reflect.Float64) && (from.CanInt() || from.CanUint() || from.CanFloat()):
		x := from.Convert(reflect.TypeFor[float64]()).Float()
		if f.Kind == reflect.Float64 {
			to.SetFloat(x)
		} else if x != math.Trunc(x) || math.Abs(x) > 1<<53 {
			return bad
		} else {
			to.SetInt(int64(x))
		}
	default:
		return bad
	}
	if !f.takes(to) {
		return bad
	}
	return nil
}

// takes tells whether v, of the field's type, is in range.
func (f Field) takes(v reflect.Value) bool {
	if f.Choices != nil {
		return slices.Contains(f.Choices, v.String())
	}
	if f.Kind == reflect.String || f.Kind == reflect.Bool {
		return true
	}
	x := v.Convert(reflect.TypeFor[float64]()).Float()
	if f.MinOpen && x == f.Min {
		return false
	}
	// What exceeds float32 would become an infinity in the arithmetic.
	return x >= f.Min && x <= min(f.Max, math.MaxFloat32) && x >= -math.MaxFloat32
}

// Of returns the parameter's value in p, a struct of the type that the field is of or a pointer to one.
func (f Field) Of(p any) any {
	return reflect.Indirect(reflect.ValueOf(p)).FieldByIndex(f.index).Interface()
}

// SetDefaults writes every parameter's default to the struct that p points to.
func SetDefaults(p any) {
	for _, f := range Fields(p) {
		reflect.ValueOf(p).Elem().FieldByIndex(f.index).Set(reflect.ValueOf(f.Default))
	}
}

// Check returns an [*Error] for the first parameter of a struct, or of a pointer to one, that is out of range.
func Check(p any) error {
	v := reflect.Indirect(reflect.ValueOf(p))
	for _, f := range Fields(p) {
		if x := v.FieldByIndex(f.index); !f.takes(x) {
			return &Error{f.Name, x.Interface(), f.Want()}
		}
	}
	return nil
}

// Values are some parameters by name: bool, string or any kind of number, as JSON has them.
type Values map[string]any

// ValuesOf lists all parameters of a struct or of a pointer to one.
func ValuesOf(p any) Values {
	list := Values{}
	for _, f := range Fields(p) {
		list[f.Name] = f.Of(p)
	}
	return list
}

// Apply sets those parameters of the struct that p points to. A name that it does not have and a value that a
// parameter does not take are errors, which say what there is.
func (v Values) Apply(p any) error {
	fields := Fields(p)
	var names []string
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names) // the same error each time
	for _, name := range names {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
		if i < 0 {
			var have []string
			for _, f := range fields {
				have = append(have, f.Name)
			}
			return fmt.Errorf("unknown parameter %q, want one of %s%s", name, strings.Join(have, ", "),
				nearest.Hint(name, have))
		}
		if err := fields[i].set(reflect.ValueOf(p).Elem().FieldByIndex(fields[i].index), v[name]); err != nil {
			return err
		}
	}
	return nil
}

// Steps is the number of a method's steps and the name that it has there, "steps" or "iterations"; 0 where the values
// hold none, or hold it as another type.
func (v Values) Steps() (name string, n int) {
	for _, name := range []string{"steps", "iterations"} {
		if x, ok := v[name]; ok {
			n, _ := x.(int)
			return name, n
		}
	}
	return "", 0
}

// Only returns those values that the struct p, or the struct that p points to, has parameters for.
func (v Values) Only(p any) Values {
	list := Values{}
	for _, f := range Fields(p) {
		if x, ok := v[f.Name]; ok {
			list[f.Name] = x
		}
	}
	return list
}
