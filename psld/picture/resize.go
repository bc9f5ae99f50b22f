package picture

import (
	"fmt"

	"psld/psld/operator"
)

// Resize returns the picture scaled to w x h, not keeping the aspect ratio; the result is clipped to [-1,1].
// operator.CubicSmall (antialiased) is the best for photos in both directions, operator.Area averages,
// operator.Nearest repeats.
func Resize(p *Picture, w, h int, m operator.Method) (*Picture, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	a, err := operator.NewResize(p.H, p.W, 3, h, w, m)
	if err != nil {
		return nil, fmt.Errorf("picture: resize to %dx%d: %w", w, h, err)
	}
	q := (&Picture{W: w, H: h, Pix: make([]float32, w*h*3)}).As(p)
	a.Apply(q.Pix, p.Pix)
	clip(q.Pix, -1)
	if p.Alpha != nil {
		if a, err = operator.NewResize(p.H, p.W, 1, h, w, m); err != nil {
			return nil, err
		}
		q.Alpha = make([]float32, w*h)
		a.Apply(q.Alpha, p.Alpha)
		clip(q.Alpha, 0)
	}
	return q, nil
}

// Cover returns the picture scaled to w x h with its proportions kept: what goes beyond that shape, on two opposite
// sides, is cut off.
func Cover(p *Picture, w, h int, m operator.Method) (*Picture, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if w < 1 || h < 1 {
		return nil, fmt.Errorf("picture: resize to %dx%d", w, h)
	}
	near := func(a, b, c int) int { return max(1, (2*a*b+c)/(2*c)) } // a*b/c to the nearest
	q, err := CropCentre(p, min(p.W, near(p.H, w, h)), min(p.H, near(p.W, h, w)))
	if err != nil {
		return nil, err
	}
	return Resize(q, w, h, m)
}

// clip bounds the values to [lo,1], which cubic interpolation overshoots.
func clip(v []float32, lo float32) {
	for i := range v {
		v[i] = min(max(v[i], lo), 1)
	}
}

// CropCentre returns the w x h part in the middle; where the margin is odd it is one pixel smaller on the left and
// top. A part larger than the picture is an error.
func CropCentre(p *Picture, w, h int) (*Picture, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if w < 1 || h < 1 || w > p.W || h > p.H {
		return nil, fmt.Errorf("picture: cannot crop %dx%d out of %dx%d", w, h, p.W, p.H)
	}
	x0, y0 := (p.W-w)/2, (p.H-h)/2
	q := (&Picture{W: w, H: h, Pix: make([]float32, 0, w*h*3)}).As(p)
	for y := range h {
		at := (y0+y)*p.W + x0
		q.Pix = append(q.Pix, p.Pix[3*at:3*(at+w)]...)
		if p.Alpha != nil {
			q.Alpha = append(q.Alpha, p.Alpha[at:at+w]...)
		}
	}
	return q, nil
}
