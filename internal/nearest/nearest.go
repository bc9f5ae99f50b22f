// Package nearest finds what a misspelt name was meant to be.
package nearest

import "strings"

// Hint is `; did you mean "sr4"?` with the name that is nearest to a misspelt one, else the first that it begins, ""
// where none is near: more than a third of the letters, and more than one, would have to change.
func Hint(name string, names []string) string {
	best, least := "", max(1, len(strings.TrimLeft(name, "-"))/3)+1
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	const begins = 3 // letters, at least
	for i := 0; i < len(names) && best == "" && len(name) >= begins; i++ {
		if strings.HasPrefix(strings.ToLower(names[i]), strings.ToLower(name)) {
			best = names[i]
		}
	}
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// distance is how many letters must be put in, left out, changed or swapped with their neighbour to make b of a
// (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 { // no name of ours
		return len(a) + len(b)
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
