package psld

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"psld/internal/memstat"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/psld/task"
	"psld/tensor/cpu"
)

// Bytes that a run takes for each pixel of the picture beside those of the networks: pictures of 12 bytes a pixel in
// memory and in the solver. Total variation keeps ten: the picture and the measurement, x before and after a step, the
// two of its dual, and four of the linear system.
const (
	pictureBytes   = 60
	variationBytes = 120
)

// LeastMemory is a lower bound of the memory in bytes that Solve will take beyond what the process has now: what one
// noise estimate of a small picture takes, which is made for that, on as many pixels as the model sees at once, and
// what pictures take.
func LeastMemory(m prior.Prior, method solver.Method, d Damage, h, w int, o Options) int64 {
	pixels := max(0, float64(h)) * max(0, float64(w))
	if m == nil || checkModel(m) != nil {
		return int64(variationBytes * pixels)
	}
	seen := 0.0 // at once
	for _, part := range o.solved(m, method, d, h, w) {
		seen = max(seen, seenAtOnce(m, part[0], part[1]))
	}
	return int64(pictureBytes*pixels + bytesPerPixel(m)*seen)
}

// solved are the heights and widths of what the model sees, one after the other: windows around holes, or the whole
// picture.
func (o *Options) solved(m prior.Prior, method solver.Method, d Damage, h, w int) (parts [][2]int) {
	see := func(keep []bool, h, w int) {
		h, w = solver.Seen(method, m, keep, h, w)
		parts = append(parts, [2]int{h, w})
	}
	if t, err := task.Find(string(d.Task)); err == nil {
		for _, v := range o.windows(t, m, d.Keep, h, w) {
			see(maskPart(d.Keep, w, v.all), v.all.Dy(), v.all.Dx())
		}
	}
	if parts == nil {
		see(d.Keep, h, w)
	}
	return parts
}

// seenAtOnce are the pixels of a picture of h x w that a model sees at once.
func seenAtOnce(m prior.Prior, h, w int) float64 {
	h, w = prior.SeenAtOnce(m, h, w)
	return float64(h) * float64(w)
}

// bytesPerPixel is what a noise estimate takes, less a fifth, since it is a bound.
func bytesPerPixel(m prior.Prior) float64 {
	side, estimate := probe(m)
	pool := cpu.Memory()
	pool.ResetPeak()
	before := pool.Live()
	estimate()
	return 0.8 * float64(pool.Peak()-before) / float64(side*side)
}

// CheckMemory refuses a run that would take more memory than it may, before it takes any: o.MaxMemory, GOMEMLIMIT, and
// a limit of the address space, in which the runtime of Go would end the process without another word. So does
// [solver.CheckOnePiece], by what the machine has as well.
func CheckMemory(m prior.Prior, method solver.Method, d Damage, h, w int, o Options) error {
	if isNil(method) {
		return errors.New("method is nil, want one such as Preset gives")
	}
	if err := errors.Join(checkModel(m), CheckSize(h, w)); err != nil {
		return err
	}
	for _, part := range o.solved(m, method, d, h, w) {
		if !solver.SpecOf(method).Needs.Prior {
			break
		}
		if err := solver.CheckOnePiece(m, part[0], part[1], o.MaxMemory, o.Runtime); err != nil {
			return err
		}
	}
	limits := []struct {
		bytes int64
		name  string
	}{{o.MaxMemory, "--max-mem"}, {debug.SetMemoryLimit(-1), "GOMEMLIMIT"}}
	now, _ := memstat.Process()
	space, left := memstat.AddressSpace(), int64(0)
	if space > 0 {
		_, left = memstat.System()
		limits[1].bytes = math.MaxInt64 // it was set for the address space
	}
	if limits[0].bytes <= 0 && limits[1].bytes == math.MaxInt64 && space == 0 {
		return nil
	}
	least := LeastMemory(m, method, d, h, w, o)
	for _, l := range limits {
		if l.bytes > 0 && now+least > l.bytes {
			need := now + least
			return fmt.Errorf("at least %s of memory are needed, %s is %s: want %s there at the least, or a smaller picture",
				memstat.Words(need), l.name, memstat.Words(l.bytes), memstat.Setting(need+need/16)) // now varies a little
		}
	}
	if space > 0 && least > left {
		return fmt.Errorf("at least %s of memory are needed beside what is taken, the address space has %s left "+
			"(ulimit -v): want %s more there at the least, or a smaller picture", memstat.Words(least), memstat.Words(left),
			memstat.Words(least-left))
	}
	return nil
}
