package picture

import (
	"bytes"
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
	"path/filepath"
	"strings"

	"psld/internal/atomicfile"
)

// Text is a line of PNG metadata, such as {"parameters", "Steps: 200, Seed: 42"}. Key has 1 to 79 printable Latin-1
// characters.
type Text struct{ Key, Value string }

// Save writes the picture, 8 bits a channel, clipped to [-1,1] and rounded: PNG with the given texts, or JPEG (quality
// 95, over white where transparent, without texts) when path ends in .jpg or .jpeg. The file appears whole or not at
// all: it is written beside path under another name and then renamed.
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
	return jpeg.Encode(w, img, &jpeg.Options{Quality: 95})
}

// EncodePNG writes the picture as PNG with texts in front of the pixels.
func EncodePNG(w io.Writer, p *Picture, texts ...Text) error {
	if err := p.check(); err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, p.ToImage()); err != nil {
		return err
	}
	const header = 8 + 25 // signature and the IHDR chunk
	out := append([]byte(nil), buf.Bytes()[:header]...)
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
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	start := len(out)
	out = append(append(out, kind...), body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[start:])), nil
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
