package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/draw"

	"golang.org/x/image/webp"
)

// riff visits the chunks of a RIFF file; one of odd length is followed by a byte that pads it.
func riff(data []byte, visit func(id string, body []byte)) {
	if len(data) >= 12 {
		chunks(data[12:], visit)
	}
}

func chunks(rest []byte, visit func(id string, body []byte)) {
	for len(rest) >= 8 {
		n := uint64(binary.LittleEndian.Uint32(rest[4:]))
		if n > uint64(len(rest)-8) {
			return
		}
		visit(string(rest[:4]), rest[8:8+n])
		rest = rest[min(uint64(len(rest)), 8+n+n%2):]
	}
}

// firstFrame decodes the first frame of an animated WebP file, and tells where on the canvas it lies.
func firstFrame(data []byte) (image.Image, image.Point, error) {
	var frame []byte
	riff(data, func(id string, body []byte) {
		if id == "ANMF" && frame == nil {
			frame = body
		}
	})
	if len(frame) < 16 {
		return nil, image.Point{}, errors.New("no frame")
	}
	three := func(at int) int { return int(frame[at]) | int(frame[at+1])<<8 | int(frame[at+2])<<16 }
	if w, h := three(6)+1, three(9)+1; w > MaxPixels/h {
		return nil, image.Point{}, errors.New("frame too large")
	}
	// The frame's chunks are those of a still picture, behind a header that tells its size and that there is alpha.
	var flags byte
	chunks(frame[16:], func(id string, _ []byte) {
		if id == "ALPH" {
			flags = 1 << 4
		}
	})
	still := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00")
	still = append(append(still, flags, 0, 0, 0), frame[6:12]...)
	still = append(still, frame[16:]...)
	binary.LittleEndian.PutUint32(still[4:], uint32(len(still)-8))
	img, err := webp.Decode(bytes.NewReader(still))
	return img, image.Pt(2*three(0), 2*three(3)), err
}

// onCanvas lays a frame on a transparent canvas of w x h pixels.
func onCanvas(img image.Image, at image.Point, w, h int) image.Image {
	canvas := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(canvas, image.Rectangle{Min: at, Max: at.Add(img.Bounds().Size())}, img, img.Bounds().Min, draw.Src)
	return canvas
}

// gifFrames counts the frames of a GIF, up to two.
func gifFrames(data []byte) (n int) {
	if len(data) < 13 {
		return 0
	}
	table := func(flags byte) int {
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	at := 13 + table(data[10])
	for n < 2 && at < len(data) {
		switch data[at] {
		case 0x21: // extension: its kind, then blocks
			at += 2
		case 0x2c:
			n++
			if at+10 > len(data) {
				return n
			}
			at += 11 + table(data[at+9]) // and the width of codes
		default:
			return n
		}
		for at < len(data) && data[at] != 0 {
			at += int(data[at]) + 1
		}
		at++
	}
	return n
}

// scans counts the scans of a JPEG. Between the segments lie the scans' codes, in which 0xff is followed by 0.
func scans(data []byte) (n int) {
	for at := 2; ; {
		i := bytes.IndexByte(data[min(at, len(data)):], 0xff)
		if at += i; i < 0 || at+4 > len(data) {
			return n
		}
		kind := data[at+1]
		switch at++; {
		case kind == 0xff: // fill
		case kind < 0xc0 || kind >= 0xd0 && kind <= 0xd8: // codes, or a marker without a body
			at++
		case kind == 0xd9:
			return n
		default:
			if kind == 0xda {
				n++
			}
			at += 1 + int(binary.BigEndian.Uint16(data[at+1:]))
		}
	}
}

// foreign names a kind of picture that is not read, from the first bytes of its file; "" for unknown.
func foreign(data []byte) string {
	has := func(at int, text string) bool {
		return len(data) >= at+len(text) && string(data[at:at+len(text)]) == text
	}
	for _, k := range []struct {
		at         int
		text, name string
	}{
		{4, "ftypavi", "an AVIF picture"}, {4, "ftyphei", "a HEIC picture"}, {4, "ftyphev", "a HEIC picture"},
		{4, "ftypmif1", "a HEIF picture"}, {4, "ftypmsf1", "a HEIF picture"}, {4, "ftypcrx", "a camera's RAW file (CR3)"},
		{4, "ftyp", "a film"}, {0, "FUJIFILMCCD-RAW", "a camera's RAW file (RAF)"},
		{0, "IIRO", "a camera's RAW file (ORF)"}, {0, "IIRS", "a camera's RAW file (ORF)"},
		{0, "MMOR", "a camera's RAW file (ORF)"}, {0, "IIU\x00", "a camera's RAW file (RW2)"},
		{0, "\xff\x0a", "a JPEG XL picture"}, {4, "JXL ", "a JPEG XL picture"}, {4, "jP  ", "a JPEG 2000 picture"},
		{0, "II+\x00", "a BigTIFF"}, {0, "MM\x00+", "a BigTIFF"},
		{0, "8BPS", "a Photoshop file"}, {0, "%PDF", "a PDF"}, {0, "gimp xcf", "a GIMP file"},
		{0, "\x76\x2f\x31\x01", "an OpenEXR picture"}, {0, "<svg", "an SVG drawing"}, {0, "<?xml", "an XML file"},
		{0, "#?RADIANCE", "a Radiance HDR picture"}, {0, "MRM", "a camera's RAW file (MRW)"},
		{0, "FOVb", "a camera's RAW file (X3F)"}, {0, "BM", "a BMP picture of an unknown kind"},
	} {
		if has(k.at, k.text) {
			return k.name
		}
	}
	return ""
}
