package main

import (
	"time"

	"psld/psld"
	"psld/psld/picture"
	"psld/psld/solver"
)

// lookHint tells of a run of minutes, which shows nothing until its end, how it would show more.
func (r *restoration) lookHint() string {
	if r.predicted < 2*time.Minute || *r.preview != "" || r.show.kind != "" {
		return ""
	}
	return "; --preview FILE shows the picture from the first step on"
}

// look says after the first step how long a run of minutes will take, and writes the preview where it is time to. A
// preview that cannot be made is a warning.
func (r *restoration) look(p solver.Progress) {
	first := r.bar.seen == 0
	if first && p.Step == 1 && psld.Windows(r.m, r.d, r.h, r.w, r.o) == 0 {
		if d := psld.PredictFrom(r.method, p); d > time.Minute {
			r.bar.clear()
			r.c.say("time      about %s by the first step", round(d))
		}
	}
	if *r.preview == "" || p.Step == p.Steps || time.Since(r.looked) < time.Minute {
		return
	}
	x, err := p.Picture()
	if err == nil {
		err = picture.Save(*r.preview, &picture.Picture{W: r.w, H: r.h, Pix: x})
	}
	if err != nil {
		r.bar.clear()
		r.c.say("warning   no preview: %v", err)
	}
	r.looked = time.Now()
}
