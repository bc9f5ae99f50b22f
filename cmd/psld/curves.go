package main

import (
	"bytes"

	"psld/internal/chart"
	"psld/psld"
	"psld/psld/picture"
)

// drawCurves writes the losses and residuals of the steps of this run.
func (r *restoration) drawCurves() error {
	if *r.curves == "" {
		return nil
	}
	list := []chart.Curve{{Title: "loss of " + psld.MethodTitle(r.o.Method), Y: r.losses},
		{Title: "residual, RMS on [-1,1]", Y: r.residuals}}
	var b bytes.Buffer
	drawn, err := chart.Curves(&b, list)
	if !drawn {
		r.c.say("warning   --curves: method %s tells no numbers of its steps", r.o.Method)
		return err
	}
	if err != nil {
		return err
	}
	p, err := picture.Decode(&b)
	if err != nil {
		return err
	}
	return r.c.savePicture(*r.curves, p)
}
