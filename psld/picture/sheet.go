package picture

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"psld/psld/operator"
)

// Panel is one picture of a Sheet, with a title above and one or more lines (split at \n) below; both may be empty.
type Panel struct {
	Title, Sub string
	Pic        *Picture
}

// The look of a sheet: dark text on a light ground, a hairline round each picture.
var (
	paper    = color.RGBA{250, 250, 248, 255}
	ink      = color.RGBA{28, 28, 30, 255}
	softInk  = color.RGBA{96, 96, 100, 255}
	hairline = color.RGBA{205, 205, 200, 255}
)

// minCell is the least size in pixels of a sheet's cells; smaller pictures are enlarged by a whole factor to reach it.
const minCell = 256

// Sheet lays panels out side by side for comparison, cols in a row (0: all in one row). All cells have the size of the
// largest picture; smaller pictures (low-resolution measurements) are enlarged without smoothing, so that one sees
// their pixels. Text shrinks to the width of its panel. No panels, or a panel without a picture, is an error.
func Sheet(panels []Panel, cols int) (*Picture, error) {
	if len(panels) == 0 {
		return nil, fmt.Errorf("picture: a sheet needs at least one panel")
	}
	if cols < 1 || cols > len(panels) {
		cols = len(panels)
	}
	cellW, cellH, titles, subs := 0, 0, 0, 0
	for i, p := range panels {
		if err := p.Pic.check(); err != nil {
			return nil, fmt.Errorf("%w (panel %d, %q)", err, i, p.Title)
		}
		cellW, cellH = max(cellW, p.Pic.W), max(cellH, p.Pic.H)
		if p.Title != "" {
			titles = 1
		}
		if p.Sub != "" {
			subs = max(subs, 1+strings.Count(p.Sub, "\n"))
		}
	}
	if s := (minCell + max(cellW, cellH) - 1) / max(cellW, cellH); s > 1 {
		cellW, cellH = cellW*s, cellH*s
	}
	size := min(max(15, float64(cellW)/17), 48) // of the title in pixels
	gap := int(size * 1.1)
	titleH, subH := titles*int(size*1.7), subs*int(size*1.25)
	if subs > 0 {
		subH += int(size * 0.4)
	}
	stepX, stepY := cellW+gap, titleH+cellH+subH+gap
	lines := (len(panels) + cols - 1) / cols
	img := image.NewRGBA(image.Rect(0, 0, gap+cols*stepX, gap+lines*stepY))
	draw.Draw(img, img.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	for i, p := range panels {
		x, y := gap+i%cols*stepX, gap+i/cols*stepY
		drawText(img, p.Title, gobold.TTF, size, ink, x, y+int(size*1.05), cellW)
		if err := drawPicture(img, p.Pic, image.Rect(x, y+titleH, x+cellW, y+titleH+cellH)); err != nil {
			return nil, err
		}
		for j, line := range strings.Split(p.Sub, "\n") {
			base := y + titleH + cellH + int(size*(1.3+1.25*float64(j)))
			drawText(img, line, goregular.TTF, size*0.9, softInk, x, base, cellW)
		}
	}
	return FromImage(img), nil
}

// drawPicture draws p as large as it fits into the middle of cell, over the paper where it is transparent.
func drawPicture(img *image.RGBA, p *Picture, cell image.Rectangle) error {
	w, h := cell.Dx(), cell.Dy()
	if p.W*h > w*p.H {
		h = max(1, p.H*w/p.W)
	} else {
		w = max(1, p.W*h/p.H)
	}
	q, err := Resize(p, w, h, operator.Nearest)
	if err != nil {
		return err
	}
	at := image.Rect(0, 0, w, h).Add(cell.Min).Add(image.Pt((cell.Dx()-w)/2, (cell.Dy()-h)/2))
	draw.Draw(img, at.Inset(-1), image.NewUniform(hairline), image.Point{}, draw.Src)
	draw.Draw(img, at, image.NewUniform(paper), image.Point{}, draw.Src)
	draw.Draw(img, at, q.ToImage(), image.Point{}, draw.Over)
	return nil
}

// drawText writes s with its base line at y, left-aligned at x. What is wider than width is set smaller, down to 2/3,
// and then cut with an ellipsis.
func drawText(img *image.RGBA, s string, ttf []byte, size float64, c color.Color, x, y, width int) {
	if s == "" {
		return
	}
	face := newFace(ttf, size)
	if w := font.MeasureString(face, s).Ceil(); w > width {
		face = newFace(ttf, max(size*2/3, size*float64(width)/float64(w)*0.98))
	}
	for runes := []rune(s); font.MeasureString(face, s).Ceil() > width && len(runes) > 1; {
		runes = runes[:len(runes)-1]
		s = strings.TrimSpace(string(runes)) + "…"
	}
	d := font.Drawer{Dst: img, Src: image.NewUniform(c), Face: face, Dot: fixed.P(x, y)}
	d.DrawString(s)
}

// newFace sets up one of the embedded Go fonts, which always parse.
func newFace(ttf []byte, size float64) font.Face {
	f, err := opentype.Parse(ttf)
	if err != nil {
		panic("picture: embedded font: " + err.Error())
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic("picture: embedded font: " + err.Error())
	}
	return face
}

// Grid puts pictures of one size into rows of cols, two pixels of light ground between them: a preview of training
// samples. No pictures, a bad cols and different sizes are errors.
func Grid(pics []*Picture, cols int) (*Picture, error) {
	if len(pics) == 0 || cols < 1 {
		return nil, fmt.Errorf("picture: grid of %d pictures in %d columns, want at least one of each",
			len(pics), cols)
	}
	cols = min(cols, len(pics))
	for i, p := range pics {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%w (grid picture %d)", err, i)
		}
		if p.W != pics[0].W || p.H != pics[0].H {
			return nil, fmt.Errorf("picture: grid picture %d is %dx%d, the first is %dx%d",
				i, p.W, p.H, pics[0].W, pics[0].H)
		}
	}
	const gap = 2
	w, h := pics[0].W, pics[0].H
	g := New(gap+cols*(w+gap), gap+(len(pics)+cols-1)/cols*(h+gap))
	for i := range g.Pix {
		g.Pix[i] = 0.96
	}
	for i, p := range pics {
		x0, y0 := gap+i%cols*(w+gap), gap+i/cols*(h+gap)
		for y := range h {
			copy(g.Pix[3*((y0+y)*g.W+x0):], p.Pix[3*y*w:3*(y+1)*w])
		}
	}
	return g, nil
}
