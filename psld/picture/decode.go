package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the formats that Decode reads
	_ "image/png"
	"io"
	"os"

	"github.com/bep/imagemeta"
	_ "golang.org/x/image/webp"
)

// Limits of Decode. They are checked on the header, before any memory is taken for the pixels.
const (
	MinSide   = 8 // pixels
	MaxPixels = 40_000_000
	maxBytes  = 512 << 20
)

// Load reads the picture in a PNG, JPEG or WebP file. See Decode; errors name the file.
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

// Decode reads a PNG (8 or 16 bits, grey, palette, with or without alpha), JPEG or WebP picture and turns it upright
// by its EXIF orientation. Unknown formats, sides under 8 pixels, more than 40 megapixels and truncated or damaged
// data are errors.
func Decode(r io.Reader) (*Picture, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("file is larger than %d MiB", maxBytes>>20)
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(data))
	meta, known := map[string]imagemeta.ImageFormat{
		"png": imagemeta.PNG, "jpeg": imagemeta.JPEG, "webp": imagemeta.WebP,
	}[format]
	switch {
	case errors.Is(err, image.ErrFormat), err == nil && !known:
		return nil, errors.New("not a PNG, JPEG or WebP picture")
	case err != nil:
		return nil, fmt.Errorf("truncated or damaged picture: %w", err)
	case cfg.Width < MinSide || cfg.Height < MinSide:
		return nil, fmt.Errorf("picture is %dx%d: each side must be at least %d pixels",
			cfg.Width, cfg.Height, MinSide)
	case cfg.Width > MaxPixels/cfg.Height:
		return nil, fmt.Errorf("picture is %dx%d: at most %d megapixels", cfg.Width, cfg.Height, MaxPixels/1_000_000)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("truncated or damaged %s picture: %w", format, err)
	}
	return FromImage(img).upright(orientation(data, meta)), nil
}

// orientation returns the EXIF orientation, 1 to 8; 1 where there is none or it cannot be read, for a photo with
// broken metadata is still a photo.
func orientation(data []byte, format imagemeta.ImageFormat) int {
	o := 1
	_, _ = imagemeta.Decode(imagemeta.Options{
		R: bytes.NewReader(data), ImageFormat: format, Sources: imagemeta.EXIF,
		ShouldHandleTag: func(t imagemeta.TagInfo) bool { return t.Tag == "Orientation" && t.Namespace == "IFD0" },
		HandleTag: func(t imagemeta.TagInfo) error {
			if v, ok := t.Value.(uint16); ok && v >= 1 && v <= 8 {
				o = int(v)
			}
			return imagemeta.ErrStopWalking
		},
	})
	return o
}

// upright returns the picture turned and mirrored as EXIF orientation o asks.
func (p *Picture) upright(o int) *Picture {
	if o == 1 {
		return p
	}
	q := &Picture{W: p.W, H: p.H, Pix: make([]float32, len(p.Pix)), Grey: p.Grey}
	if o >= 5 {
		q.W, q.H = p.H, p.W
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
