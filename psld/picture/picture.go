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
// were all equal when it was read; it is saved as grey again. Deep marks one that was read with 16 bits a channel,
// which PNG keeps. Meta goes from file to file. Note says what of a file was not read, in words.
//
// *Picture is an image.Image, so that the standard library and others take it as it is.
type Picture struct {
	W, H  int
	Pix   []float32
	Alpha []float32
	Grey  bool
	Deep  bool
	Meta  Meta
	Note  string
	// Steps are those to which a JPEG rounds the brightness of its blocks' 8x8 cosine transform (orthonormal, rows of
	// frequencies, on [-1,1]); nil for a picture that was not read from one.
	Steps *[64]float64
	Lossy bool // read from a JPEG or a lossy WebP, which leave fine detail and noise out
}

// As gives the picture what is to come out as it went in: grey, depth, profile, EXIF and resolution of p.
func (p *Picture) As(from *Picture) *Picture {
	p.Grey, p.Deep, p.Meta = from.Grey, from.Deep, from.Meta
	return p
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
// pixels are kept where the image stores them. A *Picture is returned as it is. No image at all is a
// programmer's mistake and panics.
func FromImage(img image.Image) *Picture {
	if img == nil {
		panic("picture: FromImage of nil, want an image")
	}
	if p, ok := img.(*Picture); ok {
		return p
	}
	return fromReader(img, reader(img))
}

// fromReader converts an image whose pixels at gives.
func fromReader(img image.Image, at func(x, y int) color.NRGBA64) *Picture {
	b := img.Bounds()
	p := &Picture{W: b.Dx(), H: b.Dy(), Pix: make([]float32, 3*b.Dx()*b.Dy()), Grey: true}
	switch img.ColorModel() {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		p.Deep = true
	}
	for i := range p.W * p.H {
		v := at(b.Min.X+i%p.W, b.Min.Y+i/p.W)
		p.Pix[3*i], p.Pix[3*i+1], p.Pix[3*i+2] = signed(v.R), signed(v.G), signed(v.B)
		if v.A != 65535 && p.Alpha == nil { // memory only where there is transparency
			p.Alpha = make([]float32, p.W*p.H)
			for j := range i {
				p.Alpha[j] = 1
			}
		}
		if p.Alpha != nil {
			p.Alpha[i] = float32(v.A) / 65535
		}
		p.Grey = p.Grey && v.R == v.G && v.G == v.B
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

// limited reads a pixel of lossy WebP: Y'CbCr of BT.601 in the limited range (16 to 235, 16 to 240), where the
// standard library takes the full range of JPEG. The numbers are those of libwebp (src/dsp/yuv.h).
func limited(y, u, v uint8) (r, g, b uint8) {
	hi := func(x uint8, c int) int { return int(x) * c >> 8 }
	clip := func(x int) uint8 { return uint8(min(max(x>>6, 0), 255)) }
	l := hi(y, 19077)
	return clip(l + hi(v, 26149) - 14234), clip(l - hi(u, 6419) - hi(v, 13320) + 8708), clip(l + hi(u, 33050) - 17685)
}

// limitedReader is reader for what the decoder of WebP gives.
func limitedReader(img image.Image) func(x, y int) color.NRGBA64 {
	wide := func(c color.YCbCr, a uint8) color.NRGBA64 {
		r, g, b := limited(c.Y, c.Cb, c.Cr)
		return color.NRGBA64{R: uint16(r) * 257, G: uint16(g) * 257, B: uint16(b) * 257, A: uint16(a) * 257}
	}
	switch m := img.(type) {
	case *image.YCbCr:
		return func(x, y int) color.NRGBA64 { return wide(m.YCbCrAt(x, y), 255) }
	case *image.NYCbCrA:
		return func(x, y int) color.NRGBA64 { c := m.NYCbCrAAt(x, y); return wide(c.YCbCr, c.A) }
	}
	return reader(img)
}

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

// oneChannel tells whether the picture is saved with one channel: a colour profile of three needs three.
func (p *Picture) oneChannel() bool { return p.Grey && p.Alpha == nil && !p.Meta.suits(false) }

// deep converts to 16 bits a channel as ToImage does to 8: *image.Gray16 or *image.NRGBA64.
func (p *Picture) deep() image.Image {
	if p.oneChannel() {
		g := image.NewGray16(p.Bounds())
		for i := range p.W * p.H {
			v := (p.Pix[3*i] + p.Pix[3*i+1] + p.Pix[3*i+2]) / 3
			g.SetGray16(i%p.W, i/p.W, color.Gray16{Y: unsigned(v)})
		}
		return g
	}
	m := image.NewNRGBA64(p.Bounds())
	for i := range p.W * p.H {
		m.SetNRGBA64(i%p.W, i/p.W, p.At(i%p.W, i/p.W).(color.NRGBA64))
	}
	return m
}

// ToImage converts to 8 bits, clipping to [-1,1] and rounding to the nearest value: *image.Gray for grey opaque
// pictures, else *image.NRGBA.
func (p *Picture) ToImage() image.Image {
	if p.oneChannel() {
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
