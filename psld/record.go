package psld

import (
	"encoding/json"
	"fmt"

	"psld/psld/picture"
)

// RecordKey is the key of the PNG text that holds a Record.
const RecordKey = "psld"

// Record is what a result says of the command that made it, so that the command can be repeated on another picture. It
// holds no paths.
type Record struct {
	Command string            `json:"command"`         // restore or generate
	Version string            `json:"version"`         // of the program
	Flags   map[string]string `json:"flags"`           // those in force that are not as they come, without "--"
	Files   map[string]string `json:"files,omitempty"` // those in force that name files, with the files' own names
}

// Text is the record as a text of a PNG.
func (r Record) Text() picture.Text {
	b, err := json.Marshal(r)
	if err != nil { // strings alone
		panic(err)
	}
	return picture.Text{Key: RecordKey, Value: string(b)}
}

// FindRecord is the record among the texts of a PNG; nil for none. One that cannot be read is an error.
func FindRecord(texts []picture.Text) (*Record, error) {
	for _, t := range texts {
		if t.Key != RecordKey {
			continue
		}
		r := new(Record)
		if err := json.Unmarshal([]byte(t.Value), r); err != nil {
			return nil, fmt.Errorf("the text %q of the picture holds no settings: %w", RecordKey, err)
		}
		return r, nil
	}
	return nil, nil
}
