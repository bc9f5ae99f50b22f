package patchmatch

import "slices"

const repeat = 0.3 // of 0, 0.1, 0.3, 1 and 3 the best LPIPS over 24 training photographs, see the docs

// repeats is what the distance of a source is raised by in a search, [h][w], for matches that take the same few
// sources again and again, which shows as a pattern that the picture has not (Kaspar et al. 2015, "Self tuning texture
// optimization"): the middle of all distances, times how often the sources about it are taken beyond what is even.
func (l *level) repeats(f field) []float32 {
	count, distances := make([]float64, l.h*l.w), make([]float32, len(f))
	for i, m := range f {
		count[m.from]++
		distances[i] = m.d
	}
	slices.Sort(distances)
	middle := float64(distances[len(distances)/2])
	even := side * side * max(1, float64(len(f))/float64(len(l.sources))) // once at the least: that is no repetition
	table := newTable(l.h, l.w, func(p int) float64 { return count[p] })
	raised := make([]float32, l.h*l.w)
	for _, q := range l.sources {
		y, x := int(q)/l.w, int(q)%l.w
		taken := table.sum(y-radius, y+radius+1, x-radius, x+radius+1)
		raised[q] = float32(repeat * middle * max(0, taken/even-1))
	}
	return raised
}
