package psld

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"slices"
	"time"

	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/tensor"
)

// The variables that the states of a run in windows carry beside the method's own.
const (
	windowVar  = "window"  // the number of the window under way
	paintedVar = "painted" // the missing pixels of the windows before it
)

// Windows is the number of windows in which Solve paints the holes of a picture of h x w pixels, 0 where it solves the
// whole at once.
func Windows(m prior.Prior, d Damage, h, w int, o Options) int {
	t, err := task.Find(string(d.Task))
	if err != nil {
		return 0
	}
	return len(o.windows(t, m, d.Keep, h, w))
}

// solveWindows restores the holes of y in the windows, one after the other: each sees what those before it have
// painted. Its states on disk are those of the window under way, which carry what is painted already; where that was
// stopped before its first step, the last one of the window before it.
func solveWindows(ctx context.Context, m prior.Prior, d Damage, y *picture.Picture, t *task.Task,
	list []window, o Options) (*Result, error) {
	c := &canvas{x: (&picture.Picture{W: y.W, H: y.H, Pix: slices.Clone(y.Pix), Alpha: slices.Clone(y.Alpha)}).As(y),
		keep: slices.Clone(d.Keep)}
	first, err := c.resume(list, o.Keep)
	if err != nil {
		return nil, err
	}
	total := &Result{Picture: c.x, Windows: len(list)}
	report := o.Progress
	o.Keep.Since = time.Now()
	o.facts = []solver.Fact{{Name: "whole picture", Value: solver.Digest(y.Pix)},
		{Name: "whole mask", Value: maskDigest(d.Keep)}}
	var last *solver.State       // of the window before
	done, area, areas := 0, 0, 0 // steps and pixels of the windows before, and pixels of all
	for _, v := range list {
		areas += v.area()
	}
	for _, v := range list[:first] {
		area += v.area()
	}
	for i := first; i < len(list); i++ {
		sub, begun := o, false
		sub.Seed = o.Seed + uint64(i) // else all windows would have the same noise
		sub.carry = map[string]*tensor.Tensor{windowVar: tensor.From([]float32{float32(i)}, 1)}
		if len(c.painted) > 0 {
			sub.carry[paintedVar] = tensor.From(slices.Clone(c.painted), len(c.painted))
		}
		sub.Keep.Resume = o.Keep.Resume && i == first
		sub.Progress = func(s solver.Progress) {
			if begun = true; i == first {
				done = i * s.Steps // those of an earlier run
			}
			if s.Kept {
				o.Keep.Since = time.Now()
			}
			s.Share = (float64(area) + s.Done()*float64(list[i].area())) / float64(areas)
			s.Step, s.Steps = s.Step+done, s.Steps*(len(list)-i)+done
			s.Picture = c.picture(list[i], s.Picture)
			if report != nil {
				report(s)
			}
		}
		res, err := solveWhole(ctx, m, Damage{Task: d.Task, Keep: maskPart(c.keep, y.W, list[i].all)},
			cropped(c.x, list[i].all), t, sub)
		if err != nil && !begun && last != nil && o.Keep.File != "" {
			if e := last.Write(o.Keep.File); e != nil {
				err = fmt.Errorf("the state of the run cannot be kept: %w: %w", e, err)
			}
		}
		if res != nil {
			last = res.state
			c.paint(list[i], func(x, y int) []float32 {
				return res.Picture.Pix[3*((y-list[i].all.Min.Y)*res.Picture.W+x-list[i].all.Min.X):]
			})
			if i == first {
				done = i * (res.Steps + res.Begun)
			}
			done, area = done+res.Steps+res.Begun, area+list[i].area()
			total.Steps, total.Begun, total.Method = total.Steps+res.Steps, total.Begun+res.Begun, res.Method
			total.RMS, total.Noise = max(total.RMS, res.RMS), res.Noise
		}
		switch {
		case err == nil:
		case total.Steps == 0 || res == nil && !errors.Is(err, ctx.Err()):
			return nil, err
		default:
			return total, fmt.Errorf("window %d of %d: %w", i+1, len(list), err)
		}
	}
	return total, nil
}

// picture is the whole picture where a window holds what of gives.
func (c *canvas) picture(at window, of func() ([]float32, error)) func() ([]float32, error) {
	return func() ([]float32, error) {
		part, err := of()
		if err != nil {
			return nil, err
		}
		whole := slices.Clone(c.x.Pix)
		c.missing(at, func(i, x, y int) {
			from := (y-at.all.Min.Y)*at.all.Dx() + x - at.all.Min.X
			copy(whole[3*i:3*i+3], part[3*from:])
		})
		return whole, nil
	}
}

// canvas is a picture whose holes are being painted.
type canvas struct {
	x       *picture.Picture
	keep    []bool    // what is known by now
	painted []float32 // what was missing, in the order in which it was painted
}

// paint fills the missing pixels of a window with what of gives for each of them: three values.
func (c *canvas) paint(w window, of func(x, y int) []float32) {
	c.missing(w, func(i, x, y int) {
		px := of(x, y)
		copy(c.x.Pix[3*i:], px[:3])
		c.painted = append(c.painted, px[:3]...)
		c.keep[i] = true
	})
}

// missing calls f for each missing pixel of a window, with its number and place in the whole picture.
func (c *canvas) missing(w window, f func(i, x, y int)) {
	for y := w.inner.Min.Y; y < w.inner.Max.Y; y++ {
		for x := w.inner.Min.X; x < w.inner.Max.X; x++ {
			if i := y*c.x.W + x; !c.keep[i] {
				f(i, x, y)
			}
		}
	}
}

// resume paints what a state on disk carries and returns the number of the window under way in it. What else the state
// says is the solver's business.
func (c *canvas) resume(list []window, k solver.Keep) (first int, err error) {
	if !k.Resume {
		return 0, nil
	}
	st, err := solver.ReadState(k.File)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // the solver says so
	}
	if err != nil {
		return 0, err
	}
	at := st.Vars[windowVar]
	if at == nil || !(at.Data[0] >= 0 && at.Data[0] < float32(len(list))) {
		return 0, fmt.Errorf("%s is the state of another run: not of one in %d windows", k.File, len(list))
	}
	var painted []float32
	if t := st.Vars[paintedVar]; t != nil {
		painted = t.Data
	}
	first = int(at.Data[0])
	for _, w := range list[:first] {
		c.paint(w, func(int, int) []float32 {
			if len(painted) < 3 {
				return make([]float32, 3) // of another mask, which the solver finds
			}
			px := painted[:3]
			painted = painted[3:]
			return px
		})
	}
	return first, nil
}

// cropped is a part of a picture.
func cropped(p *picture.Picture, at image.Rectangle) *picture.Picture {
	q := (&picture.Picture{W: at.Dx(), H: at.Dy()}).As(p)
	for y := at.Min.Y; y < at.Max.Y; y++ {
		from := y*p.W + at.Min.X
		q.Pix = append(q.Pix, p.Pix[3*from:3*(from+q.W)]...)
		if p.Alpha != nil {
			q.Alpha = append(q.Alpha, p.Alpha[from:from+q.W]...)
		}
	}
	return q
}

// maskPart is a part of a mask of pictures w pixels wide.
func maskPart(keep []bool, w int, at image.Rectangle) (part []bool) {
	for y := at.Min.Y; y < at.Max.Y; y++ {
		part = append(part, keep[y*w+at.Min.X:y*w+at.Max.X]...)
	}
	return part
}

// maskDigest tells a mask from others.
func maskDigest(keep []bool) string {
	values := make([]float32, len(keep))
	for i, k := range keep {
		if k {
			values[i] = 1
		}
	}
	return solver.Digest(values)
}
