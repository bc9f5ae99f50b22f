package task

import (
	"context"
	"math"
	"sync"
)

// Rounds of over-relaxation that Paste does, and of plain relaxation that PasteSoon does.
const (
	pasteRounds = 200
	soonRounds  = 20
)

// Paste puts the known pixels of y into x, both [h,w,3]. At the rim of a hole x and y differ a
// little; the difference is continued into the hole by the smoothest field there
// is (Laplace's equation, as in Poisson image editing, Pérez et al. 2003), so that no
// seam shows. Where ctx ends it returns ctx's error and leaves x as it is.
func Paste(ctx context.Context, x, y []float32, keep []bool, h, w int) error {
	return paste(ctx, x, y, keep, [2]int{h, w}, pasteRounds, relaxation(h, w))
}

// relaxation is the factor of successive over-relaxation; far from the rim the field may stay approximate.
func relaxation(h, w int) float32 {
	return float32(2 / (1 + math.Sin(math.Pi/float64(min(64, max(h, w))))))
}

// PasteSoon is Paste for who cannot wait: the field is smooth in the first pixels behind the rim only.
func PasteSoon(x, y []float32, keep []bool, h, w int) {
	_ = paste(context.Background(), x, y, keep, [2]int{h, w}, soonRounds, 1)
}

// paste leaves x as it is where ctx ends.
func paste(ctx context.Context, x, y []float32, keep []bool, size [2]int, rounds int, relax float32) error {
	var holes []int
	for i, k := range keep {
		if !k {
			holes = append(holes, i)
		}
	}
	if len(holes) == len(keep) {
		return nil
	}
	d := make([]float32, len(x))
	var all sync.WaitGroup
	for c := range 3 { // nothing of a channel goes into another
		all.Go(func() {
			if !start(d, x, y, keep, c) {
				return // known pixels are right as they are: there is nothing to smooth
			}
			for n := 0; n < rounds && ctx.Err() == nil; n++ {
				smooth(d, holes, size[0], size[1], c, relax)
			}
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, k := range keep {
		for j := 3 * i; j < 3*i+3; j++ {
			if x[j] += d[j]; k {
				x[j] = y[j]
			}
		}
	}
	return nil
}

// start sets channel c of d to the difference of y and x, and in the holes to its mean. It tells whether there is any.
func start(d, x, y []float32, keep []bool, c int) (differs bool) {
	var mean float64
	known := 0
	for i, k := range keep {
		if j := 3*i + c; k {
			known++
			d[j] = y[j] - x[j]
			mean += float64(d[j])
			differs = differs || d[j] != 0 // NaN too
		}
	}
	for i, k := range keep {
		if !k {
			d[3*i+c] = float32(mean / float64(known))
		}
	}
	return differs
}

// smooth moves each value of channel c in the holes towards the mean of its neighbours.
func smooth(d []float32, holes []int, h, w, c int, relax float32) {
	for _, i := range holes {
		r, col := i/w, i%w
		var sum, n float32
		if r > 0 {
			sum, n = sum+d[3*(i-w)+c], n+1
		}
		if r < h-1 {
			sum, n = sum+d[3*(i+w)+c], n+1
		}
		if col > 0 {
			sum, n = sum+d[3*(i-1)+c], n+1
		}
		if col < w-1 {
			sum, n = sum+d[3*(i+1)+c], n+1
		}
		d[3*i+c] += relax * (sum/n - d[3*i+c])
	}
}
