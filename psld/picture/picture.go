// Package picture reads, writes and lays out pictures: RGB in [-1,1] as the models and operators of this module take
// them, with the file formats, EXIF orientation and masks of real photos at the border.
package picture

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"psld/psld/operator"
)

// Picture is an RGB picture. Pix holds H*W*3 values in HWC order, nominally in [-1,1]. Alpha is nil for an opaque
// picture, else H*W values in [0,1]; the colours below are not multiplied with it. Grey marks a picture whose channels
// were all equal when it was read; it is saved as grey again.
//
// *Picture is an image.Image, so that the standard library and others take it as it is.
type Picture struct {
	W, H  int
	Pix   []float32
	Alpha []float32
	Grey  bool
}

// New returns a black opaque picture.
func New(w, h int) *Picture {
	p := &Picture{W: w, H: h, Pix: make([]float32, max(0, w)*max(0, h)*3)} // else Validate refuses it
	for i := range p.Pix {
		p.Pix[i] = -1
	}
	return p
}

// Shape returns the picture's shape for the operators.
func (p *Picture) Shape() operator.Shape { return operator.Shape{H: p.H, W: p.W, C: 3} }

// check reports a picture whose slices do not fit its size.
func (p *Picture) check() error {
	if p == nil {
		return fmt.Errorf("picture: no picture")
	}
	if n := p.W * p.H; p.W < 1 || p.H < 1 || len(p.Pix) != 3*n || (p.Alpha != nil && len(p.Alpha) != n) {
		return fmt.Errorf("picture: size %dx%d does not fit %d values and %d of alpha",
			p.W, p.H, len(p.Pix), len(p.Alpha))
	}
	return nil
}

// FromImage converts an image of any colour model; 16-bit values keep their precision, and colours under transparent
// pixels are kept where the image stores them. A *Picture is returned as it is.
func FromImage(img image.Image) *Picture {
	if p, ok := img.(*Picture); ok {
		return p
	}
	b := img.Bounds()
	p := New(b.Dx(), b.Dy())
	alpha := make([]float32, p.W*p.H)
	opaque := true
	p.Grey = true
	at := reader(img)
	for i := range alpha {
		v := at(b.Min.X+i%p.W, b.Min.Y+i/p.W)
		p.Pix[3*i], p.Pix[3*i+1], p.Pix[3*i+2] = signed(v.R), signed(v.G), signed(v.B)
		alpha[i] = float32(v.A) / 65535
		opaque = opaque && v.A == 65535
		p.Grey = p.Grey && v.R == v.G && v.G == v.B
	}
	if !opaque {
		p.Alpha = alpha
	}
	return p
}

// ColorModel implements image.Image.
func (p *Picture) ColorModel() color.Model { return color.NRGBA64Model }

// Bounds implements image.Image; the upper left pixel is (0, 0).
func (p *Picture) Bounds() image.Rectangle { return image.Rect(0, 0, p.W, p.H) }

// At implements image.Image: a color.NRGBA64, clipped to [-1,1].
func (p *Picture) At(x, y int) color.Color {
	if !image.Pt(x, y).In(p.Bounds()) {
		return color.NRGBA64{}
	}
	i := y*p.W + x
	c := color.NRGBA64{R: unsigned(p.Pix[3*i]), G: unsigned(p.Pix[3*i+1]), B: unsigned(p.Pix[3*i+2]), A: 65535}
	if p.Alpha != nil {
		c.A = unsigned(2*p.Alpha[i] - 1)
	}
	return c
}

// unsigned is the inverse of signed, clipped; NaN gives 0.
func unsigned(v float32) uint16 {
	f := math.Round((float64(v) + 1) * 32767.5)
	if !(f > 0) {
		return 0
	}
	return uint16(min(f, 65535))
}

// signed maps 0..65535 to [-1,1].
func signed(v uint16) float32 { return float32(float64(v)/32767.5 - 1) }

// reader returns the fastest exact way to read a pixel of img without premultiplied alpha.
func reader(img image.Image) func(x, y int) color.NRGBA64 {
	wide := func(r, g, b, a uint8) color.NRGBA64 {
		return color.NRGBA64{R: uint16(r) * 257, G: uint16(g) * 257, B: uint16(b) * 257, A: uint16(a) * 257}
	}
	switch m := img.(type) {
	case *image.NRGBA:
		return func(x, y int) color.NRGBA64 { c := m.NRGBAAt(x, y); return wide(c.R, c.G, c.B, c.A) }
	case *image.NRGBA64:
		return m.NRGBA64At
	case *image.YCbCr:
		return func(x, y int) color.NRGBA64 {
			c := m.YCbCrAt(x, y)
			r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			return wide(r, g, b, 255)
		}
	case *image.NYCbCrA:
		return func(x, y int) color.NRGBA64 {
			c := m.NYCbCrAAt(x, y)
			r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			return wide(r, g, b, c.A)
		}
	case *image.Paletted:
		table := make([]color.NRGBA64, 256) // beyond the palette: transparent black
		for i, c := range m.Palette {
			if n, ok := c.(color.NRGBA); ok {
				table[i] = wide(n.R, n.G, n.B, n.A)
			} else {
				table[i] = color.NRGBA64Model.Convert(c).(color.NRGBA64)
			}
		}
		return func(x, y int) color.NRGBA64 { return table[m.ColorIndexAt(x, y)] }
	case image.RGBA64Image:
		return func(x, y int) color.NRGBA64 {
			c := m.RGBA64At(x, y)
			if c.A == 65535 {
				return color.NRGBA64(c)
			}
			return color.NRGBA64Model.Convert(c).(color.NRGBA64)
		}
	}
	return func(x, y int) color.NRGBA64 { return color.NRGBA64Model.Convert(img.At(x, y)).(color.NRGBA64) }
}

// ToImage converts to 8 bits, clipping to [-1,1] and rounding to the nearest value: *image.Gray for grey opaque
// pictures, else *image.NRGBA.
func (p *Picture) ToImage() image.Image {
	if p.Grey && p.Alpha == nil {
		g := image.NewGray(image.Rect(0, 0, p.W, p.H))
		for i := range g.Pix {
			// Equal channels give themselves; those of a restored picture may differ a little.
			g.Pix[i] = byte8(0.299*p.Pix[3*i] + 0.587*p.Pix[3*i+1] + 0.114*p.Pix[3*i+2])
		}
		return g
	}
	m := image.NewNRGBA(image.Rect(0, 0, p.W, p.H))
	for i := range p.W * p.H {
		for c := range 3 {
			m.Pix[4*i+c] = byte8(p.Pix[3*i+c])
		}
		m.Pix[4*i+3] = 255
		if p.Alpha != nil {
			m.Pix[4*i+3] = byte8(2*p.Alpha[i] - 1)
		}
	}
	return m
}

// byte8 maps [-1,1] to 0..255, clipped and rounded; NaN gives 0.
func byte8(v float32) uint8 {
	f := math.Round((float64(v) + 1) * 127.5)
	if !(f > 0) {
		return 0
	}
	return uint8(min(f, 255))
}
