package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // the formats that Decode reads
	"image/jpeg"
	"image/png"
	"io"
	"os"

	"golang.org/x/image/bmp"
	tiffs "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"

	"psld/internal/memstat"
)

// Limits of Decode. They are checked on the header, before any memory is taken for the pixels.
const (
	MinSide   = 8 // pixels
	MaxPixels = 60_000_000
	maxBytes  = 512 << 20
	maxScans  = 500 // of a progressive JPEG: each goes over the whole picture, and cameras' have about ten
)

// Load reads the picture in a PNG, JPEG, WebP, TIFF, BMP or GIF file. See Decode; errors name the file.
func Load(path string) (*Picture, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	defer f.Close()
	p, err := Decode(f)
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", path, err)
	}
	return p, nil
}

// Decode reads a PNG, TIFF (8 or 16 bits), JPEG, WebP, BMP or GIF picture, grey, palette or colour, with or without
// alpha, and turns it upright by its orientation. Of several frames or pages it takes the first, and says so in Note.
// Unknown formats, sides under 8 pixels, more than 60 megapixels and truncated or damaged data are errors.
func Decode(r io.Reader) (*Picture, error) {
	if r == nil {
		return nil, errors.New("r is nil, want a reader")
	}
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("file is larger than %d MiB", maxBytes>>20)
	}
	cfg, format, err := header(data)
	if err != nil {
		return nil, err
	}
	if err := room(cfg); err != nil {
		return nil, err
	}
	if format == "jpeg" && scans(data) > maxScans {
		return nil, fmt.Errorf("a JPEG of more than %d scans, which takes long to read: save it anew", maxScans)
	}
	info := inspect(data, format)
	if info.planar {
		return nil, damaged(format, tiffs.UnsupportedError("channels one after the other"))
	}
	img, at, err := image.Image(nil), image.Point{}, error(nil)
	if format == "webp" && info.several {
		img, at, err = firstFrame(data)
	} else {
		img, _, err = image.Decode(bytes.NewReader(data))
	}
	if err != nil {
		return nil, damaged(format, err)
	}
	read := reader
	if format == "webp" {
		read = limitedReader
	}
	p := fromReader(img, read(img))
	if format == "gif" {
		at = img.Bounds().Min
	}
	if p.W != cfg.Width || p.H != cfg.Height { // a frame that is smaller than the canvas
		p = FromImage(onCanvas(p, at, cfg.Width, cfg.Height))
	}
	if info.negative {
		for i, v := range p.Pix {
			p.Pix[i] = -v
		}
	}
	p.Meta, p.Steps, p.Lossy = info.Meta, info.steps, lossy(img, format)
	if info.several {
		p.Note = map[bool]string{true: "of several pages the first is taken",
			false: "it is animated: the first frame is taken"}[format == "tiff"]
	}
	return p.upright(info.orientation), nil
}

// damaged is the error of a file that cannot be decoded: it is of a kind that is not read, or not whole.
func damaged(format string, err error) error {
	var (
		tiff tiffs.UnsupportedError
		jpeg jpeg.UnsupportedError
		png  png.UnsupportedError
	)
	switch {
	case errors.As(err, &tiff), errors.As(err, &jpeg), errors.As(err, &png), errors.Is(err, bmp.ErrUnsupported):
		return fmt.Errorf("a picture of a kind that is not read (%w): save it as PNG first", err)
	case format != "":
		format += " "
	}
	return fmt.Errorf("truncated or damaged %spicture: %w", format, err)
}

// lossy tells whether a picture was decoded from a lossy format, which WebP is where it gives brightness and colour.
func lossy(img image.Image, format string) bool {
	switch img.(type) {
	case *image.YCbCr, *image.NYCbCrA:
		return format == "webp" || format == "jpeg"
	}
	return format == "jpeg"
}

// header looks at a file before any memory is taken for its pixels.
func header(data []byte) (cfg image.Config, format string, err error) {
	cfg, format, err = image.DecodeConfig(bytes.NewReader(data))
	name := foreign(data)
	if t, ok := openTIFF(data); ok && t.raw() {
		name, err = "a camera's RAW file", image.ErrFormat
	}
	switch {
	case err != nil && name != "":
		return cfg, format, fmt.Errorf("it is %s, which is not read: save it as PNG, JPEG, TIFF or WebP first", name)
	case errors.Is(err, image.ErrFormat):
		return cfg, format, errors.New("not a PNG, JPEG, WebP, TIFF, BMP or GIF picture")
	case err != nil:
		return cfg, format, damaged("", err)
	case cfg.Width < MinSide || cfg.Height < MinSide:
		return cfg, format, fmt.Errorf("picture is %dx%d: each side must be at least %d pixels",
			cfg.Width, cfg.Height, MinSide)
	case cfg.Width > MaxPixels/cfg.Height:
		return cfg, format, fmt.Errorf("picture is %dx%d: at most %d megapixels", cfg.Width, cfg.Height,
			MaxPixels/1_000_000)
	}
	return cfg, format, nil
}

// room refuses a large picture for which there is no memory: the limit of a container or of the address space (ulimit
// -v), in which the process would end without another word.
func room(cfg image.Config) error {
	const perPixel, large = 20, 4_000_000 // bytes: the picture, and what its decoder gives
	pixels := int64(cfg.Width) * int64(cfg.Height)
	if pixels < large {
		return nil
	}
	if _, free := memstat.System(); free > 0 && perPixel*pixels > free {
		return fmt.Errorf("a picture of %dx%d pixels takes %s of memory, %s are available", cfg.Width, cfg.Height,
			memstat.Words(perPixel*pixels), memstat.Words(free))
	}
	return nil
}

// upright returns the picture turned and mirrored as EXIF orientation o asks.
func (p *Picture) upright(o int) *Picture {
	if o == 1 {
		return p
	}
	q := (&Picture{W: p.W, H: p.H, Pix: make([]float32, len(p.Pix)), Note: p.Note, Steps: p.Steps,
		Lossy: p.Lossy}).As(p)
	if o >= 5 {
		q.W, q.H = p.H, p.W
		q.Meta.PerMetre[0], q.Meta.PerMetre[1] = q.Meta.PerMetre[1], q.Meta.PerMetre[0]
		if p.Steps != nil {
			q.Steps = new([64]float64)
			for i := range q.Steps {
				q.Steps[i] = p.Steps[i%8*8+i/8]
			}
		}
	}
	if p.Alpha != nil {
		q.Alpha = make([]float32, len(p.Alpha))
	}
	for y := range q.H {
		for x := range q.W {
			sx, sy := x, y
			if o >= 5 { // 5 to 8 swap the axes
				sx, sy = y, x
			}
			if o == 2 || o == 3 || o == 7 || o == 8 {
				sx = p.W - 1 - sx
			}
			if o == 3 || o == 4 || o == 6 || o == 7 {
				sy = p.H - 1 - sy
			}
			i, j := y*q.W+x, sy*p.W+sx
			copy(q.Pix[3*i:3*i+3], p.Pix[3*j:])
			if p.Alpha != nil {
				q.Alpha[i] = p.Alpha[j]
			}
		}
	}
	return q
}
