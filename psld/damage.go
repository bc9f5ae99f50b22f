package psld

import (
	"errors"
	"fmt"
	"image"
	"strings"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

// Told is what a user says of a picture's damage. All of it may be left out.
type Told struct {
	Mask       string          // file of the mask, see [picture.LoadMask]
	Box        image.Rectangle // in place of a mask: the pixels in it are missing; empty for none
	InvertMask bool            // the mask's white and black change places
	Kernel     string          // file of the blur kernel, see [operator.LoadKernel]
	Blur       task.Values     // in place of a kernel: the task's parameters that say what blurred the picture
}

// ErrNotPart is the error of FindDamage for a mask that marks all or nothing as missing.
var ErrNotPart = errors.New("nothing to do, or nothing to go by")

// FindDamage makes out the damage of a measured picture y, and says in words where it is from: the mask or the kernel
// that the user tells, else what y itself shows: transparent or black pixels, how soft it is. Missing pixels become
// opaque in y, since they will be painted. What the task has no use for, a mask that marks all or nothing as missing,
// and a task that needs what is not there, are errors; those of files name them.
func FindDamage(t *task.Task, y *picture.Picture, told Told) (d Damage, words []string, err error) {
	if t == nil {
		return d, nil, errors.New("t is nil, want a task")
	}
	d.Task = t.Name
	if y == nil {
		return d, nil, errors.New("y is nil, want a picture")
	}
	if err := y.Validate(); err != nil {
		return d, nil, fmt.Errorf("y: %w", err)
	}
	d.Grey = y.Grey
	blur := told.Kernel != "" || len(told.Blur) > 0
	switch {
	case (told.Mask != "" || told.InvertMask || !told.Box.Empty()) && t.Needs != task.Mask:
		return d, nil, fmt.Errorf("a mask has no meaning for task %s", t.Name)
	case told.Mask != "" && !told.Box.Empty():
		return d, nil, errors.New("a box has no meaning beside a mask")
	case told.InvertMask && !told.Box.Empty():
		return d, nil, errors.New("a box cannot be inverted: want a mask")
	case told.InvertMask && told.Mask == "":
		return d, nil, errors.New("there is no mask that could be inverted")
	case blur && t.Needs != task.Kernel:
		return d, nil, fmt.Errorf("a kernel has no meaning for task %s", t.Name)
	case told.Kernel != "" && len(told.Blur) > 0:
		return d, nil, fmt.Errorf("a kernel has no meaning for task %s beside parameters of the blur", t.Name)
	case t.Needs == task.Mask:
		d.Keep, words, err = findMask(t, y, told)
	case blur:
		d.Kernel, words, err = findKernel(t, y, told)
	case t.Guess != nil:
		var guess string
		d, guess, err = t.Guess(y)
		d.Task, d.Grey, words = t.Name, y.Grey, []string{guess}
	case t.Needs == task.Kernel:
		err = fmt.Errorf("task %s needs %s", t.Name, t.File)
	}
	if err != nil {
		return Damage{Task: t.Name}, nil, err
	}
	return d, words, nil
}

// findMask tells which pixels are known.
func findMask(t *task.Task, y *picture.Picture, told Told) (keep []bool, words []string, err error) {
	from, note := "the mask", ""
	switch {
	case told.Mask != "":
		keep, note, err = picture.LoadMask(told.Mask, y.W, y.H, told.InvertMask)
	case !told.Box.Empty():
		from = "the box"
		keep, err = operator.RectangleMask(y.H, y.W, told.Box)
	default:
		keep, from, err = t.FindKnown(y)
		from += " pixels"
	}
	if err != nil {
		return nil, nil, err
	}
	missing, n := markMissing(y, keep), len(keep)
	if missing == 0 || missing == n {
		return nil, nil, fmt.Errorf("%s marks %d of %d pixels as missing: %w", from, missing, n, ErrNotPart)
	}
	words = []string{fmt.Sprintf("%d of %d pixels missing (%.1f %%), from %s", missing, n,
		100*float64(missing)/float64(n), from)}
	if note != "" {
		words = append(words, note)
	}
	return keep, words, nil
}

// findKernel is the kernel that the user tells.
func findKernel(t *task.Task, y *picture.Picture, told Told) (k *operator.Kernel, words []string, err error) {
	if told.Kernel != "" {
		if k, err = operator.LoadKernel(told.Kernel); err != nil {
			return nil, nil, err
		}
		return k, []string{fmt.Sprintf("kernel of %dx%d pixels", k.Size, k.Size)}, nil
	}
	d, err := t.DrawDamage(y.H, y.W, told.Blur, 0)
	if err != nil {
		return nil, nil, err
	}
	var blur []string // in the words of the flags, but without their hyphens: the web page shows them, too
	for _, p := range t.Parameters {
		if v, ok := told.Blur[p.Name]; ok {
			blur = append(blur, fmt.Sprintf("%s %v", strings.ReplaceAll(p.Name, "-", " "), v))
		}
	}
	return d.Kernel, []string{strings.Join(blur, ", ")}, nil
}

// markMissing makes the pixels that are not kept opaque and counts them.
func markMissing(y *picture.Picture, keep []bool) (missing int) {
	for i, k := range keep {
		if !k {
			missing++
			if y.Alpha != nil {
				y.Alpha[i] = 1
			}
		}
	}
	return missing
}
