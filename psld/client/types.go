// Package client speaks with the server of `psld serve`. Its types are those of the API, which the server's own
// document describes (/api/v1/openapi.yaml).
package client

import (
	"time"

	"psld/psld/param"
)

// JobOptions say how a picture is to be restored. Only Task is needed.
type JobOptions struct {
	Task    string `json:"task"`
	Model   string `json:"model,omitempty"`   // a name of Client.Models, "" for the first one
	Quality string `json:"quality,omitempty"` // preview, good (the default) or best
	Method  string `json:"method,omitempty"`  // "" for auto, the task's best
	Seed    uint64 `json:"seed"`
	Samples int    `json:"samples,omitempty"` // restorations, with seeds that count up: 1 to 8

	Sigma *float64 `json:"sigma,omitempty"` // noise on [-1,1]; nil: estimated
	// of a Gaussian blur in pixels; 0: estimated, or the kernel's file
	KernelStd    float64 `json:"kernel_std,omitempty"`
	MotionLength float64 `json:"motion_length,omitempty"` // of a straight motion in pixels
	MotionAngle  float64 `json:"motion_angle,omitempty"`  // in degrees, counter-clockwise from the horizontal
	InvertMask   bool    `json:"invert_mask,omitempty"`
	// MaskBox is a rectangle that is missing, in place of Input.Mask: x, y, width and height in pixels from the upper
	// left corner; nil for none.
	MaskBox []int  `json:"mask_box,omitempty"`
	Paste   *bool  `json:"paste,omitempty"` // keep known pixels exactly; nil stands for true
	Prompt  string `json:"prompt,omitempty"`
	// Try says that the picture is whole: the server damages it first.
	Try    bool         `json:"try,omitempty"`
	Params param.Values `json:"params,omitempty"` // of the method, by name
}

// State is where a job stands.
type State string

// The states of a job. The last three are final.
const (
	Queued    State = "queued"
	Running   State = "running"
	Done      State = "done"
	Cancelled State = "cancelled"
	Failed    State = "failed"
)

// Ended tells whether nothing more will happen.
func (s State) Ended() bool { return s == Done || s == Cancelled || s == Failed }

// Job is a picture that is being restored.
type Job struct {
	ID      string     `json:"id"` // 26 letters and digits: who knows it may see and remove the job
	State   State      `json:"state"`
	Error   string     `json:"error,omitempty"` // why it failed
	Notes   []string   `json:"notes,omitempty"` // what was found out, such as the noise
	Options JobOptions `json:"options"`
	Method  string     `json:"method,omitempty"` // with its parameters, once it runs
	Width   int        `json:"width"`            // of the result, in pixels
	Height  int        `json:"height"`

	Created  time.Time  `json:"created"`
	Started  *time.Time `json:"started,omitempty"`
	Finished *time.Time `json:"finished,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"` // when it is removed, at the latest

	Position    int       `json:"position"` // jobs before it in the queue
	Step        int       `json:"step"`     // of all samples together
	Steps       int       `json:"steps"`    // 0 for unknown
	SecondsLeft *float64  `json:"seconds_left,omitempty"`
	Preview     int       `json:"preview,omitempty"` // number of the newest preview, 0 for none
	Loss        []float64 `json:"loss"`              // of the steps of the last sample, at most 1000
	// LossFrom is 0 but in events, where Loss begins with the loss of step LossFrom+1: those before were sent already.
	LossFrom int `json:"loss_from,omitempty"`

	Results []Result `json:"results"`
}

// Result is a restored picture of a job.
type Result struct {
	Sample  int     `json:"sample"`
	Seed    uint64  `json:"seed"`
	Steps   int     `json:"steps"`
	Partial bool    `json:"partial,omitempty"` // the job was cancelled before all steps
	RMS     float64 `json:"rms"`               // of A x - y, on [-1,1]
	Seconds float64 `json:"seconds"`
}

// Health is what the server says of itself.
type Health struct {
	Status   string `json:"status"` // ok or draining
	Queued   int    `json:"queued"`
	Running  int    `json:"running"`
	Capacity int    `json:"capacity"` // jobs that may wait
	Version  string `json:"version"`
}

// Model is a model that jobs may name.
type Model struct {
	Name        string `json:"name"`
	Kind        string `json:"kind"` // embedded, latent or pixel
	Description string `json:"description"`
}

// Task is a kind of damage.
type Task struct {
	Name    string `json:"name"`
	Lost    string `json:"lost"`  // what is lost
	Looks   string `json:"looks"` // how such a picture looks
	Does    string `json:"does"`  // what restoring does
	Needs   string `json:"needs"` // nothing, mask or kernel
	Scale   int    `json:"scale"` // sides of the result over those of the picture
	Tryable bool   `json:"tryable"`
	Guesses bool   `json:"guesses"` // the damage can be left out since the picture shows it
}

// Method is a way to restore.
type Method struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Fields      []Field `json:"fields"`
}

// Field is a parameter of a method.
type Field struct {
	Name    string   `json:"name"`
	Help    string   `json:"help"`
	Kind    string   `json:"kind"` // integer, number, boolean or text
	Default any      `json:"default"`
	Min     *float64 `json:"min,omitempty"`      // of a number, nil for any
	MinOpen bool     `json:"min_open,omitempty"` // Min itself is too little
	Max     *float64 `json:"max,omitempty"`
	Choices []string `json:"choices,omitempty"` // of a text, nil for any
}

// Sample is a picture to try the program on.
type Sample struct {
	Name    string     `json:"name"`
	Title   string     `json:"title"`
	URL     string     `json:"url"`
	Options JobOptions `json:"options"` // that restore it
}

// Prediction is about how many seconds each quality takes; 0 where it cannot be told.
type Prediction struct {
	Preview float64 `json:"preview"`
	Good    float64 `json:"good"`
	Best    float64 `json:"best"`
}
