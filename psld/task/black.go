package task

// What exactly black pixels of a picture without a mask must look like to count as missing: clothing is black, too.
// keep tells which pixels of a picture w pixels wide are not black.

// scattered tells whether black pixels lie as if drawn at random: to the right of one, another is about as frequent as
// anywhere.
func scattered(keep []bool, w int) bool {
	const slack = 0.15
	var black, pairs, both float64
	for i, k := range keep {
		if k {
			continue
		}
		black++
		if i%w < w-1 {
			pairs++
			if !keep[i+1] {
				both++
			}
		}
	}
	return pairs == 0 || both/pairs <= black/float64(len(keep))+slack
}

// rectangular tells whether black pixels fill one rectangle.
func rectangular(keep []bool, w int) bool {
	x0, x1, y0, y1, n := w, -1, len(keep), -1, 0
	for i, k := range keep {
		if !k {
			x0, x1, y0, y1 = min(x0, i%w), max(x1, i%w), min(y0, i/w), max(y1, i/w)
			n++
		}
	}
	return n == (x1-x0+1)*(y1-y0+1)
}

// wholeRows tells whether rows are black from end to end or, but for single pixels, not at all.
func wholeRows(keep []bool, w int) bool {
	stray, n := 0, 0
	for row := 0; row < len(keep); row += w {
		black := 0
		for _, k := range keep[row : row+w] {
			if !k {
				black++
			}
		}
		if n += black; black < w {
			stray += black
		}
	}
	return 100*stray <= n
}
