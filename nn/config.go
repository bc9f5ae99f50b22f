package nn

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// ParseConfig reads the config.json of a network into v. fixed lists fields
// that change what the network computes and that the reader knows in some
// forms only: for each the JSON values it accepts. A field that is absent is
// accepted.
func ParseConfig(data []byte, v any, fixed map[string][]string) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		got, ok := fields[name]
		if ok && !slices.Contains(fixed[name], string(got)) {
			return fmt.Errorf("config.json: %s is %.80s, which is not supported; want %s", name, got, fixed[name][0])
		}
	}
	return nil
}
