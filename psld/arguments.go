package psld

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"reflect"

	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
)

// checkArguments names the argument of Solve that is missing or not whole.
func checkArguments(ctx context.Context, m prior.Prior, y image.Image, o Options) error {
	switch {
	case ctx == nil:
		return errors.New("ctx is nil, want a context such as context.Background()")
	case y == nil:
		return errors.New("no measurement to restore: Problem.Measurement is nil")
	case isNil(y):
		return fmt.Errorf("no measurement to restore: Problem.Measurement is a nil %T", y)
	case m != nil && isNil(m):
		return fmt.Errorf("no model: m is a nil %T", m)
	}
	if p, ok := y.(*picture.Picture); ok {
		if err := p.Validate(); err != nil {
			return fmt.Errorf("Problem.Measurement: %w", err)
		}
	} else if b := y.Bounds(); b.Empty() {
		return fmt.Errorf("Problem.Measurement is %dx%d pixels, want at least one", b.Dx(), b.Dy())
	}
	if err := checkModel(m); err != nil {
		return err
	}
	if o.MaxMemory < 0 {
		return fmt.Errorf("Options.MaxMemory is %d, want at least 0", o.MaxMemory)
	}
	if !(o.GuidanceScale >= 0 && o.GuidanceScale <= 1000) {
		return fmt.Errorf("Options.GuidanceScale is %v, want 0 to 1000", o.GuidanceScale)
	}
	return checkKeep(o.Keep)
}

// checkModel reports a model that is not whole; none at all is as good as a whole one.
func checkModel(m prior.Prior) error {
	if m == nil {
		return nil
	}
	if err := prior.Check(m); err != nil {
		return fmt.Errorf("the model m: %w", err)
	}
	return nil
}

// checkKeep wants a folder for the state.
func checkKeep(k solver.Keep) error {
	if k.File == "" {
		return nil
	}
	dir := filepath.Dir(k.File)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("Options.Keep.File %s: there is no folder %s", k.File, dir)
	}
	return nil
}

// isNil tells nothing, and a nil pointer, inside an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || r.Kind() == reflect.Pointer && r.IsNil()
}
