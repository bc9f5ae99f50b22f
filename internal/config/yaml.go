package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// The YAML package compares each key of a mapping with each other one, so that the time to read a mapping grows with
// the square of its keys: some 10 s for 20,000 of them.
const (
	maxKeys = 1000    // of a mapping
	maxText = 4 << 20 // bytes
)

// YAML reads the first document of a text into v, a pointer; an empty text leaves v as it is. With known, keys that v
// has no fields for are errors. Texts and mappings that would take long to read are errors as well.
func YAML(text []byte, v any, known bool) error {
	if len(text) > maxText {
		return fmt.Errorf("it has more than %d MiB", maxText>>20)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return err
	}
	if err := few(&doc); err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(known)
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// few is an error where a mapping has too many keys.
func few(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode && len(n.Content)/2 > maxKeys {
		return fmt.Errorf("line %d: more than %d keys", n.Line, maxKeys)
	}
	for _, c := range n.Content {
		if err := few(c); err != nil {
			return err
		}
	}
	return nil
}
