// Package config reads the configurations that stand beside the weights of a network, in the JSON of diffusers and
// transformers: no key that changes what is computed is passed over.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Keys lists the keys that a reader knows beside those that it reads into a struct: for each the values, as JSON,
// with which it computes what it should. A key without values (nil) changes nothing here and may have any.
type Keys map[string][]string

// Parse reads a configuration into v, a pointer to a struct. A key in keys must be absent or have one of its values,
// and a key of v that is a number, text or truth value may not be null.
func Parse(data []byte, v any, keys Keys) error {
	data = Plain(data)
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	var mistyped *json.UnmarshalTypeError
	switch err := json.Unmarshal(data, v); {
	case errors.As(err, &mistyped):
		name := mistyped.Field // with the names of structs that it lies in, and of objects inside of it
		for part := range strings.SplitSeq(mistyped.Field, ".") {
			if fields[part] != nil {
				name = part
				break
			}
		}
		return fmt.Errorf("config.json: %s is %.80s, want %s", name, fields[name], words(mistyped.Type.Kind()))
	case err != nil:
		return fmt.Errorf("config.json: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		got, ok := fields[name]
		same := func(want string) bool { return equal(got, []byte(want)) }
		if ok && keys[name] != nil && !slices.ContainsFunc(keys[name], same) {
			return fmt.Errorf("config.json: %s is %.80s, which is not supported; want %s", name, got, keys[name][0])
		}
	}
	into := read(reflect.TypeOf(v))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		_, listed := keys[name]
		if kind, ok := into[name]; ok && !listed && scalar(kind) && string(fields[name]) == "null" {
			return fmt.Errorf("config.json: %s is null, want a value", name)
		}
	}
	return nil
}

// words says what a value of a kind is in JSON.
func words(kind reflect.Kind) string {
	switch {
	case kind >= reflect.Int && kind <= reflect.Uint64:
		return "a whole number"
	case kind == reflect.Float32 || kind == reflect.Float64:
		return "a number"
	case kind == reflect.Bool:
		return "true or false"
	case kind == reflect.String:
		return "a text"
	}
	return "a list or an object"
}

// Unknown lists the keys of a configuration that are neither in v nor in keys, in alphabetical order. Those that begin
// with an underscore are notes on the file and left out.
func Unknown(data []byte, v any, keys Keys) []string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(Plain(data), &fields) != nil {
		return nil
	}
	into := read(reflect.TypeOf(v))
	var list []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		_, isRead := into[name]
		if _, known := keys[name]; !known && !isRead && !strings.HasPrefix(name, "_") {
			list = append(list, name)
		}
	}
	return list
}

// equal compares JSON values: 1 and 1.0 are the same.
func equal(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func scalar(k reflect.Kind) bool {
	return k == reflect.Bool || k == reflect.String || k >= reflect.Int && k <= reflect.Float64
}

// read lists the JSON keys of a struct, its embedded ones among them.
func read(t reflect.Type) map[string]reflect.Kind {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	keys := map[string]reflect.Kind{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(keys, read(f.Type))
		case name == "":
			keys[f.Name] = f.Type.Kind()
		default:
			keys[name] = f.Type.Kind()
		}
	}
	return keys
}

// notNumbers are what Python's json writes for floats that JSON has no numbers for.
var notNumbers = []string{"-Infinity", "Infinity", "NaN"}

// Plain makes JSON of what Python's json writes: infinities and NaN become texts of these names, so that a reader that
// wants a number there refuses them. Data without them comes back as it is.
func Plain(data []byte) []byte {
	if !slices.ContainsFunc(notNumbers, func(w string) bool { return bytes.Contains(data, []byte(w)) }) {
		return data
	}
	var out []byte
	inText := false
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case inText && c == '\\' && i+1 < len(data):
			out = append(out, c)
			i++
			c = data[i]
		case c == '"':
			inText = !inText
		case !inText:
			at := slices.IndexFunc(notNumbers, func(w string) bool { return bytes.HasPrefix(data[i:], []byte(w)) })
			if at >= 0 {
				out = append(append(append(out, '"'), notNumbers[at]...), '"')
				i += len(notNumbers[at]) - 1
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

// Python is the inverse of [Plain] for indented JSON of a single object: texts that stand for no numbers become what
// Python's json reads as them.
func Python(data []byte) []byte {
	for _, w := range notNumbers {
		data = bytes.ReplaceAll(data, []byte(`: "`+w+`"`), []byte(": "+w))
	}
	return data
}
