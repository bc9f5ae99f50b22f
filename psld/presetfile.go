package psld

import (
	"encoding/json"
	"fmt"
	"os"

	"psld/psld/param"
	"psld/psld/solver"
	"psld/psld/task"
)

// TaskPreset holds the parameters of PSLD for a task (see solver.PSLD). Gamma and Omega are for pictures of
// Presets.Size.
type TaskPreset struct {
	Steps       int     `json:"steps"`
	Strength    float64 `json:"strength"`
	Gamma       float64 `json:"gamma"`
	Omega       float64 `json:"omega"`
	GluingEvery int     `json:"gluing_every"`
	Back        string  `json:"back"`
}

// Presets are parameters that win over the built-in ones for the tasks that they have. `psld tune` finds them.
type Presets struct {
	Size  int                 `json:"size"` // pixels a side of the pictures that they were found on
	Tasks map[Task]TaskPreset `json:"tasks"`
}

// LoadPresets reads the JSON file of `psld tune`, of which it needs the fields of Presets. Values that no
// run could use are errors.
func LoadPresets(path string) (*Presets, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := new(Presets)
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func (p *Presets) check() error {
	if p.Size < 8 || p.Size > 1<<16 {
		return fmt.Errorf("presets for pictures of size %d, want 8 to %d", p.Size, 1<<16)
	}
	if len(p.Tasks) == 0 {
		return fmt.Errorf("no presets: want the field tasks with a task's name and its parameters")
	}
	for t, q := range p.Tasks {
		if _, err := task.Find(string(t)); err != nil {
			return err
		}
		if q.GluingEvery < 0 {
			return fmt.Errorf("task %s: gluing_every %d, want 1 to 1000", t, q.GluingEvery)
		}
		if err := q.values().Apply(new(solver.PSLD)); err != nil {
			return fmt.Errorf("task %s: %w", t, err)
		}
	}
	return nil
}

// find is the preset of a task; ok tells that there is one.
func (p *Presets) find(t Task) (q TaskPreset, ok bool) {
	if p == nil {
		return q, false
	}
	q, ok = p.Tasks[t]
	return q, ok
}

// values are the parameters of PSLD that the preset sets. A GluingEvery of 0 is 1.
func (p TaskPreset) values() param.Values {
	return param.Values{"steps": p.Steps, "strength": p.Strength, "gamma": p.Gamma, "omega": p.Omega,
		"gluing_every": max(1, p.GluingEvery), "back": p.Back}
}
