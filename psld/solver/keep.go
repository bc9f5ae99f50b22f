package solver

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"psld/tensor"
)

// Keep says where a run keeps its state on disk, so that it can go on after the program ended, however that was.
type Keep struct {
	// File takes the place of the one before, whole or not at all. "" keeps nothing. It takes some seconds at the
	// start to digest the weights of a full-size model, by which a state knows its run.
	File string `json:"file,omitempty"`
	// A state is kept after every Steps steps, and after the step that ends when Every has passed since the last one;
	// 0 is never. One is kept in any case when ctx ends the run, and when a step gives numbers that are not finite:
	// that before the step.
	Steps int           `json:"steps,omitempty"`
	Every time.Duration `json:"every_ns,omitempty"`
	// Since is when a state was last kept, for a run that is a part of another one; zero for the run's beginning.
	Since time.Time `json:"-"`
	// Resume goes on from File, to the same bits as without a break. It is an error, which says what, if the state is
	// of another run: other options (but for MaxMemory), inputs, model, precision or kernels.
	Resume bool `json:"resume,omitempty"`
}

// keeper keeps the states of one run.
type keeper struct {
	Keep
	dev  tensor.Device // which has the variables
	run  []Fact
	step int       // of the state on disk, 0 for none
	last time.Time // when that was written, or the run began
}

// resume returns the state to go on from, nil for a run from the start.
func (k *keeper) resume(steps int) (*State, error) {
	if k.last = k.Since; k.last.IsZero() {
		k.last = time.Now()
	}
	if !k.Resume {
		return nil, nil
	}
	st, err := ReadState(k.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("nothing to go on from: there is no state %s", k.File)
	}
	if err != nil {
		return nil, err
	}
	if text := differences(st.Run, k.run); text != "" {
		return nil, fmt.Errorf("%s is the state of another run: %s", k.File, text)
	}
	if st.Steps > steps { // not with equal facts
		return nil, fmt.Errorf("%s is the state of a run of %d steps, want %d", k.File, st.Steps, steps)
	}
	k.step = st.Step
	return st, nil
}

// after keeps the state after a step if it is time to.
func (k *keeper) after(s State) (kept bool, err error) {
	if k.File == "" || !(k.Steps > 0 && s.Step%k.Steps == 0 || k.Every > 0 && time.Since(k.last) >= k.Every) {
		return false, nil
	}
	err = k.keep(s)
	return err == nil, err
}

// keep keeps the state, if there is a file for it and it is not there already.
func (k *keeper) keep(s State) error {
	if k.File == "" || s.Step == k.step || s.Step == 0 {
		return nil
	}
	k.last = time.Now() // after a failure, too: the next try is no sooner
	if err := s.onHost(k.dev).Write(k.File); err != nil {
		return fmt.Errorf("the state of the run cannot be kept: %w", err)
	}
	k.step = s.Step
	return nil
}
