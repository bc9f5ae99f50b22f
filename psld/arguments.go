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
	if v, ok := m.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("the model m: %w", err)
		}
	}
	if o.MaxMemory < 0 {
		return fmt.Errorf("Options.MaxMemory is %d, want at least 0", o.MaxMemory)
	}
	return checkKeep(o.Keep)
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

// isNil tells a nil pointer inside an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}
