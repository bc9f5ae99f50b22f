package task

import "math"

// Paste puts the known pixels of y into x. At the rim of a hole x and y differ a
// little; the difference is continued into the hole by the smoothest field there
// is (Laplace's equation, as in Poisson image editing, Pérez et al. 2003), so that no
// seam shows.
func Paste(x, y []float32, keep []bool, h, w int) {
	d := make([]float32, len(x))
	var mean [3]float64
	known := 0
	for i, k := range keep {
		if k {
			known++
			for c := range 3 {
				d[3*i+c] = y[3*i+c] - x[3*i+c]
				mean[c] += float64(d[3*i+c])
			}
		}
	}
	if known == 0 {
		return
	}
	for i, k := range keep {
		if !k {
			for c := range 3 {
				d[3*i+c] = float32(mean[c] / float64(known))
			}
		}
	}
	// Successive over-relaxation; far from the rim the field may stay approximate.
	relax := float32(2 / (1 + math.Sin(math.Pi/float64(min(64, max(h, w))))))
	for range 200 {
		for i, k := range keep {
			if k {
				continue
			}
			r, col := i/w, i%w
			for c := range 3 {
				var sum float32
				var n float32
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
	}
	for i, v := range d {
		x[i] += v
	}
	for i, k := range keep {
		if k {
			copy(x[3*i:][:3], y[3*i:][:3])
		}
	}
}
