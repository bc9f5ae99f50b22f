package psld

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
)

// TaskPreset holds the parameters of a task, as in Options. Gamma and Omega are for pictures of Presets.Size.
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
		if _, err := ParseTask(string(t)); err != nil {
			return err
		}
		weight := func(v float64) bool { return v >= 0 && v <= math.MaxFloat32 }
		switch {
		case q.Steps < 1 || q.Steps > 1000:
			return fmt.Errorf("task %s: steps %d, want 1 to 1000", t, q.Steps)
		case !(q.Strength > 0 && q.Strength <= 1):
			return fmt.Errorf("task %s: strength %v, want more than 0 and at most 1", t, q.Strength)
		case !weight(q.Gamma) || !weight(q.Omega):
			return fmt.Errorf("task %s: gamma %v and omega %v, want finite numbers of at least 0", t, q.Gamma, q.Omega)
		case q.GluingEvery < 0 || q.GluingEvery > 1000:
			return fmt.Errorf("task %s: gluing_every %d, want 1 to 1000", t, q.GluingEvery)
		case q.Back != "adjoint" && q.Back != "pinv" && q.Back != "reference":
			return fmt.Errorf("task %s: back %q, want adjoint, pinv or reference", t, q.Back)
		}
	}
	return nil
}

// preset is that of a task for pictures of h x w pixels; ok tells that there is one.
func (p *Presets) preset(t Task, h, w int) (q preset, ok bool) {
	if p == nil {
		return q, false
	}
	v, ok := p.Tasks[t]
	side := math.Sqrt(float64(h*w)) / float64(p.Size)
	return preset{v.Steps, v.Strength, v.Gamma * side, v.Omega * side, v.Back, v.GluingEvery}, ok
}
