package picture

import (
	"fmt"
	"io"
	"os"
)

// LoadMask reads the mask of a w x h picture from a file. See DecodeMask; errors name the file.
func LoadMask(path string, w, h int, invert bool) (keep []bool, note string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("picture: mask: %w", err)
	}
	defer f.Close()
	keep, note, err = DecodeMask(f, w, h, invert)
	if err != nil {
		return nil, "", fmt.Errorf("picture: mask %s: %w", path, err)
	}
	return keep, note, nil
}

// DecodeMask reads a mask and returns which pixels to keep, row by row, as operator.NewMask takes it. White (grey
// value over 127 of 255) means repaint, black keep, as in most inpainting programs; in a picture with transparent
// pixels (alpha under 128) it is these that are repainted, and the colours do not count, which the note then says.
// invert swaps the two. A size other than w x h, and a photo in place of a mask, are errors.
func DecodeMask(r io.Reader, w, h int, invert bool) (keep []bool, note string, err error) {
	p, err := Decode(r)
	if err != nil {
		return nil, "", err
	}
	if p.W != w || p.H != h {
		return nil, "", fmt.Errorf("mask is %dx%d, the picture is %dx%d: they must have the same size", p.W, p.H, w, h)
	}
	if p.transparent() {
		note = "transparent means repaint, the mask's colours do not count"
	} else if err := p.checkMask(); err != nil {
		return nil, "", err
	}
	return p.Mask(invert), note, nil
}

// transparent tells whether there is a transparent pixel; alpha values near 1 alone are none.
func (p *Picture) transparent() bool {
	for _, a := range p.Alpha {
		if a < 128.0/255 {
			return true
		}
	}
	return false
}

// checkMask is an error for a picture that is no mask: with colours, or grey in large parts, where a soft edge, or
// what JPEG makes of a hard one, has little.
func (p *Picture) checkMask() error {
	var coloured, grey int
	for i := 0; i < len(p.Pix); i += 3 {
		r, g, b := p.Pix[i], p.Pix[i+1], p.Pix[i+2]
		if max(r, g, b)-min(r, g, b) > 0.5 { // a quarter of the range
			coloured++
		}
		if v := luma(p.Pix[i:]); v > -0.5 && v < 0.5 {
			grey++
		}
	}
	n := p.W * p.H
	switch {
	case 100*coloured > n:
		return fmt.Errorf("%.0f %% of its pixels are coloured: a mask is white where to repaint and black elsewhere, or "+
			"transparent where to repaint", 100*float64(coloured)/float64(n))
	case 3*grey > n:
		return fmt.Errorf("%.0f %% of its pixels are grey: a mask is white where to repaint and black elsewhere, or "+
			"transparent where to repaint", 100*float64(grey)/float64(n))
	}
	return nil
}

// luma is the grey value of a pixel, as JPEG has it.
func luma(px []float32) float32 { return 0.299*px[0] + 0.587*px[1] + 0.114*px[2] }

// Mask returns which pixels to keep when the picture is read as a mask; see DecodeMask.
func (p *Picture) Mask(invert bool) (keep []bool) {
	keep = make([]bool, p.W*p.H)
	byAlpha := p.transparent()
	for i := range keep {
		repaint := byte8(luma(p.Pix[3*i:])) > 127
		if byAlpha {
			repaint = p.Alpha[i] < 128.0/255
		}
		keep[i] = repaint == invert
	}
	return keep
}
