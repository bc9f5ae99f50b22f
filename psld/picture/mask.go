package picture

import (
	"fmt"
	"io"
	"os"
)

// LoadMask reads the mask of a w x h picture from a file. See DecodeMask; errors name the file.
func LoadMask(path string, w, h int, invert bool) (keep []bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("picture: mask: %w", err)
	}
	defer f.Close()
	keep, err = DecodeMask(f, w, h, invert)
	if err != nil {
		return nil, fmt.Errorf("picture: mask %s: %w", path, err)
	}
	return keep, nil
}

// DecodeMask reads a mask and returns which pixels to keep, row by row, as operator.NewMask takes it. White (grey
// value over 127 of 255) means repaint, black keep, as in most inpainting programs; in a picture with transparent
// pixels it is transparent (alpha under 128) that means repaint, and the colours do not count. invert swaps the two. A
// size other than w x h is an error.
func DecodeMask(r io.Reader, w, h int, invert bool) (keep []bool, err error) {
	p, err := Decode(r)
	if err != nil {
		return nil, err
	}
	if p.W != w || p.H != h {
		return nil, fmt.Errorf("mask is %dx%d, the picture is %dx%d: they must have the same size", p.W, p.H, w, h)
	}
	return p.Mask(invert), nil
}

// Mask returns which pixels to keep when the picture is read as a mask; see DecodeMask.
func (p *Picture) Mask(invert bool) (keep []bool) {
	keep = make([]bool, p.W*p.H)
	for i := range keep {
		repaint := byte8(0.299*p.Pix[3*i]+0.587*p.Pix[3*i+1]+0.114*p.Pix[3*i+2]) > 127
		if p.Alpha != nil {
			repaint = p.Alpha[i] < 128.0/255
		}
		keep[i] = repaint == invert
	}
	return keep
}
