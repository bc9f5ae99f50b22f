package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"strings"

	"psld/internal/atomicfile"
)

// Text is a line of PNG metadata, such as {"parameters", "Steps: 200, Seed: 42"}. Key has 1 to 79 printable Latin-1
// characters.
type Text struct{ Key, Value string }

// Save writes the picture, clipped to [-1,1] and rounded, with what its Meta holds: PNG with the given texts, 16 bits
// a channel where it is Deep and else 8, or JPEG (8 bits, quality 95, over white where transparent, without texts)
// when path ends in .jpg or .jpeg. The file appears whole or not at all: it is written beside path under another name
// and then renamed.
func Save(path string, p *Picture, texts ...Text) error {
	encode := func(w io.Writer) error { return EncodePNG(w, p, texts...) }
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".png":
	case ".jpg", ".jpeg":
		encode = func(w io.Writer) error { return EncodeJPEG(w, p) }
	default:
		return fmt.Errorf("picture: cannot write %s: the extension is %q, use .png or .jpg", path, ext)
	}
	if err := atomicfile.Write(path, encode); err != nil {
		return fmt.Errorf("picture: cannot write %s: %w", path, err)
	}
	return nil
}

// EncodeJPEG writes the picture as JPEG of quality 95, over white where it is transparent.
func EncodeJPEG(w io.Writer, p *Picture) error {
	if w == nil {
		return errors.New("picture: w is nil, want a writer")
	}
	if err := p.check(); err != nil {
		return err
	}
	img := p.ToImage()
	if p.Alpha != nil {
		over := image.NewRGBA(img.Bounds())
		draw.Draw(over, over.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
		draw.Draw(over, over.Bounds(), img, image.Point{}, draw.Over)
		img = over
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 95}); err != nil {
		return err
	}
	const start = 2 // the marker in front of all
	out := append([]byte(nil), buf.Bytes()[:start]...)
	if _, err := w.Write(p.appendSegments(out)); err != nil {
		return err
	}
	_, err := w.Write(buf.Bytes()[start:])
	return err
}

// appendSegments appends what the picture's Meta holds as JPEG segments: resolution, EXIF, colour profile.
func (p *Picture) appendSegments(out []byte) []byte {
	segment := func(marker byte, parts ...[]byte) {
		body := bytes.Join(parts, nil)
		out = binary.BigEndian.AppendUint16(append(out, 0xff, marker), uint16(len(body)+2))
		out = append(out, body...)
	}
	inch := func(perMetre uint32) uint16 { return uint16(min(65535, math.Round(float64(perMetre)*0.0254))) }
	if x, y := inch(p.Meta.PerMetre[0]), inch(p.Meta.PerMetre[1]); x > 0 && y > 0 {
		segment(0xe0, []byte("JFIF\x00\x01\x02\x01"), binary.BigEndian.AppendUint16(nil, x),
			binary.BigEndian.AppendUint16(nil, y), []byte{0, 0})
	}
	if n := len(p.Meta.EXIF); n > 0 && n < 65000 {
		segment(0xe1, []byte("Exif\x00\x00"), p.Meta.EXIF)
	}
	const most = 65000 // bytes of a profile in one segment
	icc := p.Meta.ICC
	if n := (len(icc) + most - 1) / most; n < 256 && p.Meta.suits(p.oneChannel()) {
		for i := range n {
			segment(0xe2, []byte("ICC_PROFILE\x00"), []byte{byte(i + 1), byte(n)}, icc[i*most:min(len(icc), (i+1)*most)])
		}
	}
	return out
}

// quickPNG is the number of pixels above which a PNG is packed quickly: 12 million take 0.4 s in place of 3, in a file
// that is a fifth larger, and who stops a run waits for them.
const quickPNG = 1 << 21

// EncodePNG writes the picture as PNG with texts in front of the pixels. Above two million pixels it packs quickly.
func EncodePNG(w io.Writer, p *Picture, texts ...Text) error {
	if w == nil {
		return errors.New("picture: w is nil, want a writer")
	}
	if err := p.check(); err != nil {
		return err
	}
	var buf bytes.Buffer
	img := p.ToImage()
	if p.Deep {
		img = p.deep()
	}
	var e png.Encoder
	if p.W*p.H > quickPNG {
		e.CompressionLevel = png.BestSpeed
	}
	if err := e.Encode(&buf, img); err != nil {
		return err
	}
	const header = 8 + 25 // signature and the IHDR chunk
	out := append([]byte(nil), buf.Bytes()[:header]...)
	out = p.appendChunks(out)
	for _, t := range texts {
		var err error
		if out, err = appendText(out, t); err != nil {
			return err
		}
	}
	if _, err := w.Write(out); err != nil {
		return err
	}
	_, err := w.Write(buf.Bytes()[header:])
	return err
}

// appendText appends a tEXt chunk, or an iTXt chunk for values outside Latin-1 (PNG specification 11.3.4).
func appendText(out []byte, t Text) ([]byte, error) {
	key, ok := latin1(t.Key)
	if !ok || len(key) < 1 || len(key) > 79 ||
		strings.ContainsAny(t.Key, "\x00\r\n") || strings.TrimSpace(t.Key) != t.Key {
		return nil, fmt.Errorf("picture: PNG text key %q must have 1 to 79 Latin-1 characters", t.Key)
	}
	if strings.Contains(t.Value, "\x00") {
		return nil, errors.New("picture: PNG text must not hold a zero byte")
	}
	kind, body := "tEXt", append(key, 0)
	if value, ok := latin1(t.Value); ok {
		body = append(body, value...)
	} else {
		// Not compressed, no language, no translated key; then UTF-8.
		kind, body = "iTXt", append(append(body, 0, 0, 0, 0), strings.ToValidUTF8(t.Value, "?")...)
	}
	return appendChunk(out, kind, body), nil
}

// appendChunk appends a chunk of a PNG.
func appendChunk(out []byte, kind string, body []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	start := len(out)
	out = append(append(out, kind...), body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[start:]))
}

// appendChunks appends what the picture's Meta holds as chunks of a PNG: colour profile, resolution, EXIF.
func (p *Picture) appendChunks(out []byte) []byte {
	if p.Meta.suits(p.oneChannel()) {
		body := bytes.NewBufferString("ICC profile\x00\x00") // its name, and that it is packed by zlib
		z := zlib.NewWriter(body)
		_, _ = z.Write(p.Meta.ICC) // memory does not fail
		_ = z.Close()
		out = appendChunk(out, "iCCP", body.Bytes())
	}
	out = append(out, p.Meta.PNGColours...)
	if r := p.Meta.PerMetre; r[0] > 0 && r[1] > 0 {
		body := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, r[0]), r[1])
		out = appendChunk(out, "pHYs", append(body, 1))
	}
	if len(p.Meta.EXIF) > 0 {
		out = appendChunk(out, "eXIf", p.Meta.EXIF)
	}
	return out
}

// latin1 encodes s in ISO 8859-1; ok is false when it does not fit.
func latin1(s string) (b []byte, ok bool) {
	for _, r := range s {
		if r > 255 {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, true
}
