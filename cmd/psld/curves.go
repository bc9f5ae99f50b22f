package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"psld/internal/chart"
	"psld/psld"
	"psld/psld/picture"
)

// checkCurves looks at --curves.
func (r *restoration) checkCurves() error {
	if *r.curves == "" {
		return nil
	}
	for _, other := range [][2]string{{"--out", *r.out}, {"--sheet", *r.sheet}, {"--preview", *r.preview}} {
		if filepath.Clean(*r.curves) == filepath.Clean(other[1]) {
			return fmt.Errorf("--curves and %s are the same file %s", other[0], *r.curves)
		}
	}
	return checkOutput("--curves", *r.curves, pictureFiles[:1], *r.in, *r.mask, *r.kernel)
}

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
