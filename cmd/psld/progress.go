package main

import (
	"cmp"
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
	fromShare    float64   // of the work, done by then
	atMost       bool      // it may be done before the last unit
	sure, news   bool      // the pace may be believed, and was not before
	even         bool      // all units take the same
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

// pace is told that done of n units are done, a share of the work that is 0 where all units take the same, and
// estimates the time of one and of those to go. The first one also sets up memory and packs weights, so it counts only
// while it is the only one. Work that was resumed begins with a later one.
func (p *progress) pace(done, n int, share float64) (per, left time.Duration) {
	now := time.Now()
	if p.even = share == 0; p.even {
		share = float64(done) / float64(n)
	}
	togo := 0.0 // in units such as those that were done
	if p.seen++; p.seen == 1 || share <= p.fromShare || done <= p.from {
		p.first, p.from, p.fromShare = now, done, share
		p.per, togo = now.Sub(p.start), (1-share)/share*float64(done)
	} else {
		p.per = now.Sub(p.first) / time.Duration(done-p.from)
		togo = (1 - share) / (share - p.fromShare) * float64(done-p.from)
	}
	p.left = time.Duration(float64(p.per) * togo)
	const settled = 2 * time.Second // of units that are not alike
	p.news = !p.sure && p.seen > 1 && (p.even || now.Sub(p.start) > settled)
	p.sure = p.sure || p.news
	return p.per, p.left
}

// step reports that done of n units are done; note is shown behind.
func (p *progress) step(done, n int, note string) {
	p.pace(done, n, 0)
	p.show(done, n, note)
}

// show prints the last pace, and note behind.
func (p *progress) show(done, n int, note string) {
	atMost := ""
	if p.atMost {
		atMost = "at most "
	}
	if p.news {
		p.clear()
		about, what := cmp.Or(atMost, "about "), "in all"
		if p.from > 1 {
			what = "from the resume on"
		}
		fmt.Fprintf(p.w, "predicted: %s%s %s\n", about, round(time.Since(p.start)+p.left), what)
	}
	if p.sure || p.even {
		note = fmt.Sprintf("%s%s left  %s", atMost, round(p.left), note)
	}
	text := fmt.Sprintf("%s %*d/%d  %.3g s/%s  %s", p.unit, len(fmt.Sprint(n)), done, n, p.per.Seconds(), p.unit, note)
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
