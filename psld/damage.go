package psld

import (
	"fmt"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

// FindDamage makes out the damage of a measured picture y and says in words where it is from: of the mask (which
// pixels are known, row by row) or the kernel that is given, else of what y itself shows: transparent or black pixels,
// how soft it is. Missing pixels become opaque in y, since they will be painted. A mask that marks all or nothing as
// missing, and a task that needs what is not there, are errors.
func FindDamage(t *task.Task, y *picture.Picture, keep []bool, kernel *operator.Kernel) (d Damage,
	words string, err error) {
	d = Damage{Task: t.Name}
	switch {
	case t.Needs == task.Mask:
		from := "the mask"
		if d.Keep = keep; keep == nil {
			if d.Keep, from, err = t.FindKnown(y); err != nil {
				return d, "", err
			}
			from += " pixels"
		}
		missing, n := markMissing(y, d.Keep), len(d.Keep)
		if missing == 0 || missing == n {
			return d, "", fmt.Errorf("%s marks %d of %d pixels as missing: nothing to do, or nothing to go by", from, missing,
				n)
		}
		return d, fmt.Sprintf("%d of %d pixels missing (%.1f %%), from %s", missing, n, 100*float64(missing)/float64(n),
			from), nil
	case kernel != nil:
		d.Kernel = kernel
		return d, fmt.Sprintf("kernel of %dx%d pixels", kernel.Size, kernel.Size), nil
	case t.Guess != nil:
		d, words, err = t.Guess(y)
		d.Task = t.Name
		return d, words, err
	case t.Needs == task.Kernel:
		return d, "", fmt.Errorf("task %s needs %s", t.Name, t.File)
	}
	return d, "", nil
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
