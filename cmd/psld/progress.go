package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress shows how far a piece of work is: a bar that is drawn again in a terminal,
// else a line about every tenth of the way.
type progress struct {
	w            io.Writer
	unit         string // what is counted, e.g. "step"
	bar          bool
	start, first time.Time
	tenth, width int
}

func newProgress(w io.Writer, unit string) *progress {
	p := &progress{w: w, unit: unit, start: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.bar = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// left estimates the time to go after done of n steps. The first step also sets up
// memory and packs weights, so it counts only while it is the only one.
func (p *progress) left(done, n int) time.Duration {
	now := time.Now()
	if done <= 1 {
		p.first = now
		return now.Sub(p.start) * time.Duration(n-done)
	}
	return now.Sub(p.first) / time.Duration(done-1) * time.Duration(n-done)
}

// step reports that done of n steps are done; note is shown behind.
func (p *progress) step(done, n int, note string) {
	left := p.left(done, n)
	if done == min(2, n) && n > 1 {
		p.clear()
		fmt.Fprintf(p.w, "predicted: about %s in all\n", round(time.Since(p.start)+left))
	}
	text := fmt.Sprintf("%s %*d/%d  %s  %s left", p.unit, len(fmt.Sprint(n)), done, n, note, round(left))
	if p.bar {
		const cells = 24
		full := cells * done / n
		text = "[" + strings.Repeat("#", full) + strings.Repeat("-", cells-full) + "] " + text
		fmt.Fprintf(p.w, "\r%-*s", p.width, text)
		p.width = len(text)
		if done == n {
			fmt.Fprintln(p.w)
			p.width = 0
		}
		return
	}
	if t := 10 * done / n; t > p.tenth || done == 1 {
		p.tenth = t
		fmt.Fprintln(p.w, text)
	}
}

// clear wipes the bar, so that other lines can be printed.
func (p *progress) clear() {
	if p.bar && p.width > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.width, "")
		p.width = 0
	}
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
