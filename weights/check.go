package weights

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"psld/internal/few"
)

// Check compares what a source holds with the tensors that a network wants, by
// name and shape, and reports how many are missing, mis-shaped or unexpected,
// and which first, in one line. A source without names passes.
func Check(s Source, want map[string][]int) error {
	names := s.Names()
	if names == nil {
		return nil
	}
	has := map[string]bool{}
	for _, name := range names {
		has[name] = true
	}
	shapes, _ := s.(interface{ Info(string) (Info, bool) })
	var missing, badShape, unexpected []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		shape := want[name]
		if !has[name] {
			missing = append(missing, fmt.Sprintf("%s %v", name, shape))
			continue
		}
		delete(has, name)
		if shapes == nil {
			continue
		}
		if info, _ := shapes.Info(name); !sameShape(info.Shape, shape) {
			badShape = append(badShape, fmt.Sprintf("%s %v, want %v", name, info.Shape, shape))
		}
	}
	unexpected = slices.Sorted(maps.Keys(has))
	var msg []string
	list := func(what string, names []string) {
		if len(names) > 0 {
			msg = append(msg, fmt.Sprintf("%d %s (%s)", len(names), what, few.Names(names)))
		}
	}
	list("tensors missing", missing)
	list("tensors of another shape", badShape)
	list("tensors unexpected", unexpected)
	if msg == nil {
		return nil
	}
	from := "weights"
	if set, ok := s.(*Set); ok {
		from = set.name
	}
	return fmt.Errorf("%s: %s", from, strings.Join(msg, "; "))
}

// CheckValues reads all tensors of the set and reports those that hold a NaN or
// an infinity: the first ones in a line each, and how many more there are.
func (s *Set) CheckValues(ctx context.Context) error {
	var errs []error
	var buf []float32
	for _, name := range s.Names() {
		if err := ctx.Err(); err != nil {
			return err
		}
		info, _ := s.Info(name)
		t, err := s.find(name, info.Shape)
		if err == nil {
			buf = slices.Grow(buf[:0], info.Elems())[:info.Elems()]
			err = t.read(buf)
		}
		errs = append(errs, err)
	}
	return few.Errors(errs)
}

// Check is [Check] for all parts of the model, in one error: want holds the
// names and shapes that the network of each part wants, by [UNetPart],
// [VAEPart] and [TextPart]. A part that want does not name is not checked.
func (m *Model) Check(want map[string]map[string][]int) error {
	var errs []error
	for _, part := range slices.Sorted(maps.Keys(want)) {
		if set := m.Part(part); set != nil {
			errs = append(errs, Check(set, want[part]))
		} else if len(want[part]) > 0 {
			errs = append(errs, fmt.Errorf("%s: no %s", m.Path, part))
		}
	}
	return errors.Join(errs...)
}

// CheckValues is [Set.CheckValues] for all parts of the model.
func (m *Model) CheckValues(ctx context.Context) error {
	var errs []error
	for _, part := range m.parts() {
		err := m.Part(part).CheckValues(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
