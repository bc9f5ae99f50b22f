package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// progress shows how far a piece of work is: a bar that is drawn again in a terminal,
// else a line about every tenth of the way and every minute.
type progress struct {
	w            io.Writer
	unit         string // what is counted, e.g. "step"
	bar          bool
	start, first time.Time // the end of the first one that was seen
	from, seen   int       // done by then, seen in all
	every        bool      // a line for each
	per, left    time.Duration
	tenth, width int
	line         time.Time // of the last one printed
}

func newProgress(w io.Writer, unit string) *progress {
	p := &progress{w: w, unit: unit, start: time.Now()}
	p.bar = isTerminal(w) && os.Getenv("TERM") != "dumb"
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress shows how far the work is: with --verbose every step in a line of its own.
func (c *console) progress(unit string) *progress {
	p := newProgress(c.log, unit)
	p.every = c.verbose
	p.bar = p.bar && !c.verbose
	return p
}

// pace is told that done of n units are done, and estimates the time of one and of those to go. The first one also
// sets up memory and packs weights, so it counts only while it is the only one. Work that was resumed begins with a
// later one.
func (p *progress) pace(done, n int) (per, left time.Duration) {
	now := time.Now()
	if p.seen++; p.seen == 1 {
		p.first, p.from = now, done
		p.per = now.Sub(p.start)
	} else {
		p.per = now.Sub(p.first) / time.Duration(max(1, done-p.from))
	}
	p.left = p.per * time.Duration(n-done)
	return p.per, p.left
}

// step reports that done of n units are done; note is shown behind.
func (p *progress) step(done, n int, note string) {
	p.pace(done, n)
	p.show(done, n, note)
}

// show prints the last pace, and note behind.
func (p *progress) show(done, n int, note string) {
	if p.seen == 2 {
		p.clear()
		what := "in all"
		if p.from > 1 {
			what = "from the resume on"
		}
		fmt.Fprintf(p.w, "predicted: about %s %s\n", round(time.Since(p.start)+p.left), what)
	}
	text := fmt.Sprintf("%s %*d/%d  %.3g s/%s  %s left  %s", p.unit, len(fmt.Sprint(n)), done, n, p.per.Seconds(), p.unit,
		round(p.left), note)
	if p.bar {
		const cells = 12
		full := cells * done / n
		text = "[" + strings.Repeat("#", full) + strings.Repeat("-", cells-full) + "] " + text
		p.draw(fmt.Sprintf("%-*s", p.width, text))
		p.width = len(text)
		if done == n {
			fmt.Fprintln(p.w)
			p.width = 0
		}
		return
	}
	if t := 10 * done / n; t > p.tenth || p.seen == 1 || p.every || time.Since(p.line) > time.Minute {
		p.tenth, p.line = t, time.Now()
		fmt.Fprintln(p.w, text)
	}
}

// draw prints a line over the last one, cut at the right edge of the terminal and not wrapped.
func (p *progress) draw(line string) {
	if runtime.GOOS != "windows" {
		line = "\x1b[?7l" + line + "\x1b[?7h"
	}
	fmt.Fprint(p.w, "\r"+line)
}

// clear wipes the bar, so that other lines can be printed.
func (p *progress) clear() {
	if p.bar && p.width > 0 {
		p.draw(strings.Repeat(" ", p.width))
		fmt.Fprint(p.w, "\r")
		p.width = 0
	}
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
