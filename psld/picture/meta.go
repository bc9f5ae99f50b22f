package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"math"
	"unicode/utf16"
)

// Meta is what a file says of its picture beside the pixels, and what is written again.
type Meta struct {
	ICC      []byte    // colour profile
	EXIF     []byte    // a TIFF structure, upright and without thumbnail
	PerMetre [2]uint32 // pixels a metre, across and down; 0 for unknown
	// PNGColours are the chunks of a PNG that tell what its colours are without a profile (gAMA, cHRM, sRGB, cICP), each
	// as it stands in the file; a PNG keeps them.
	PNGColours []byte
}

// fileInfo is what the frame of a file tells.
type fileInfo struct {
	Meta
	orientation int  // EXIF orientation, 1 to 8
	several     bool // frames or pages
	negative    bool // the decoder gives black for white
	planar      bool // the decoder does not read it
	steps       *[64]float64
}

// inspect reads what is known of a file beside its pixels. What is broken is left out, for a photo with broken
// metadata is still a photo.
func inspect(data []byte, format string) fileInfo {
	f := fileInfo{orientation: 1}
	switch format {
	case "png":
		f.png(data)
	case "jpeg":
		f.jpeg(data)
	case "webp":
		riff(data, func(id string, body []byte) {
			switch id {
			case "ICCP":
				f.ICC = body
			case "EXIF":
				f.exif(body)
			case "ANMF":
				f.several = true
			}
		})
	case "tiff":
		if t, ok := openTIFF(data); ok {
			f.tags(t)
			f.ICC, f.EXIF = t.bytes(tagICC), exifOf(t)
			f.several = t.next() != 0
			f.negative, f.planar = t.negativeFax(), t.planar()
		}
	case "bmp":
		const header, across = 40, 38 // bytes of the kind that has it, and where the resolution is
		if len(data) >= across+8 && binary.LittleEndian.Uint32(data[14:]) >= header {
			x, y := binary.LittleEndian.Uint32(data[across:]), binary.LittleEndian.Uint32(data[across+4:])
			if max(x, y) < 1<<31 { // they have a sign
				f.PerMetre = [2]uint32{x, y}
			}
		}
	case "gif":
		f.several = gifFrames(data) > 1
	}
	return f
}

// png reads the chunks of a PNG. A second colour profile is none: a file could have thousands, each of which takes
// time to unpack.
func (f *fileInfo) png(data []byte) {
	profiles := 0
	for rest := data[min(8, len(data)):]; len(rest) >= 12; {
		n := int64(binary.BigEndian.Uint32(rest))
		if n > int64(len(rest))-12 {
			return
		}
		body := rest[8 : 8+n]
		switch string(rest[4:8]) {
		case "iCCP":
			profiles++
			if _, packed, ok := bytes.Cut(body, []byte{0}); ok && len(packed) > 1 && profiles == 1 {
				f.ICC = inflate(packed[1:]) // behind the method
			}
		case "pHYs":
			if n == 9 && body[8] == 1 {
				f.PerMetre = [2]uint32{binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])}
			}
		case "eXIf":
			f.exif(body)
		case "gAMA", "cHRM", "sRGB", "cICP":
			if chunk := rest[:12+n]; n <= 32 && !bytes.Contains(f.PNGColours, rest[4:8]) {
				f.PNGColours = append(f.PNGColours, chunk...)
			}
		case "acTL":
			f.several = true
		case "IEND": // what lies behind is not the picture's, and nobody has looked at its checksums
			return
		}
		rest = rest[12+n:]
	}
}

// inflate unpacks a profile of at most 16 MiB; nil where it is broken.
func inflate(packed []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	const most = 16 << 20
	b, err := io.ReadAll(io.LimitReader(z, most+1))
	if err != nil || len(b) > most {
		return nil
	}
	return b
}

// quantisation reads the tables of a segment: numbers of one byte or two, in zigzag order.
func quantisation(body []byte, tables *[4]*[64]float64) {
	for len(body) >= 65 {
		bytes := 1 + int(body[0]>>4)
		if bytes > 2 || len(body) < 1+64*bytes {
			return
		}
		t := new([64]float64)
		for i, at := range zigzag {
			v := float64(body[1+i*bytes])
			if bytes == 2 {
				v = float64(binary.BigEndian.Uint16(body[1+2*i:]))
			}
			t[at] = v / 127.5
		}
		tables[body[0]&3] = t
		body = body[1+64*bytes:]
	}
}

// zigzag is the order of the coefficients in a JPEG: along the diagonals, up and down by turns.
var zigzag = func() (order [64]int) {
	i := 0
	for d := range 15 {
		for k := max(0, d-7); k <= min(d, 7); k++ {
			row, column := k, d-k
			if d%2 == 0 {
				row, column = d-k, k
			}
			order[i] = 8*row + column
			i++
		}
	}
	return order
}()

// jpeg reads the segments in front of a JPEG's first scan.
func (f *fileInfo) jpeg(data []byte) {
	parts := map[int][]byte{} // of the colour profile
	total, tables, brightness := 0, [4]*[64]float64{}, byte(0)
	for rest := data[min(2, len(data)):]; len(rest) >= 4 && rest[0] == 0xff; {
		if rest[1] == 0xff { // fill
			rest = rest[1:]
			continue
		}
		n := int(binary.BigEndian.Uint16(rest[2:])) + 2
		if rest[1] == 0xda || n < 4 || n > len(rest) {
			break
		}
		body := rest[4:n]
		switch {
		case rest[1] == 0xe0 && bytes.HasPrefix(body, []byte("JFIF\x00")) && len(body) >= 12:
			if per := map[byte]float64{1: 1 / 0.0254, 2: 100}[body[7]]; per > 0 {
				f.PerMetre = [2]uint32{uint32(math.Round(per * float64(binary.BigEndian.Uint16(body[8:])))),
					uint32(math.Round(per * float64(binary.BigEndian.Uint16(body[10:]))))}
			}
		case rest[1] == 0xe1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")):
			f.exif(body)
		case rest[1] == 0xe2 && bytes.HasPrefix(body, []byte("ICC_PROFILE\x00")) && len(body) > 14:
			parts[int(body[12])], total = body[14:], int(body[13])
		case rest[1] == 0xdb:
			quantisation(body, &tables)
		case rest[1] >= 0xc0 && rest[1] <= 0xc2 && len(body) > 8: // a frame, with the table of its first component
			brightness = body[8] & 3
		}
		rest = rest[n:]
	}
	f.steps = tables[brightness]
	var icc []byte
	for i := range total {
		if parts[i+1] == nil {
			return
		}
		icc = append(icc, parts[i+1]...)
	}
	f.ICC = icc
}

// exif takes an EXIF block.
func (f *fileInfo) exif(block []byte) {
	block = bytes.TrimPrefix(block, []byte("Exif\x00\x00"))
	t, ok := openTIFF(bytes.Clone(block))
	if !ok || f.EXIF != nil {
		return
	}
	f.tags(t)
	if at, kind, _ := t.find(tagOrientation); at > 0 {
		t.set(at, kind, 1) // the picture is turned as it is read
	}
	t.cut() // the thumbnail shows the picture as it was
	f.EXIF = t.data
}

// tags takes orientation and resolution of a TIFF structure.
func (f *fileInfo) tags(t tiff) {
	if o, ok := t.number(tagOrientation); ok && o >= 1 && o <= 8 {
		f.orientation = int(o)
	}
	unit := 1 / 0.0254
	if u, ok := t.number(tagUnit); ok && u == 3 {
		unit = 100
	} else if ok && u != 2 {
		return
	}
	x, y := t.rational(tagXResolution)*unit, t.rational(tagYResolution)*unit
	if f.PerMetre == [2]uint32{} && x >= 1 && y >= 1 && max(x, y) < 1<<31 {
		f.PerMetre = [2]uint32{uint32(math.Round(x)), uint32(math.Round(y))}
	}
}

// suits tells whether the profile is one of a picture with those channels.
func (m Meta) suits(grey bool) bool {
	space := map[bool]string{true: "GRAY", false: "RGB "}[grey]
	return len(m.ICC) > 20 && string(m.ICC[16:20]) == space
}

// ProfileName is the name that the colour profile gives itself, such as "Display P3"; "" for none.
func (m Meta) ProfileName() string {
	const head, entry = 128, 12 // bytes of the header, and of an entry of the table of tags
	icc := m.ICC
	if len(icc) < head+4 {
		return ""
	}
	part := func(at, n int64) []byte {
		if at < 0 || n < 0 || at+n > int64(len(icc)) {
			return nil
		}
		return icc[at : at+n]
	}
	for i := range min(100, int64(binary.BigEndian.Uint32(icc[head:]))) {
		e := part(head+4+entry*i, entry)
		if e == nil || string(e[:4]) != "desc" {
			continue
		}
		body := part(int64(binary.BigEndian.Uint32(e[4:])), int64(binary.BigEndian.Uint32(e[8:])))
		switch {
		case len(body) > 12 && string(body[:4]) == "desc": // ICC 2: the length, and ASCII that ends with zero
			text, _, _ := bytes.Cut(body[12:], []byte{0})
			return string(text[:min(len(text), int(binary.BigEndian.Uint32(body[8:])))])
		case len(body) >= 28 && string(body[:4]) == "mluc": // ICC 4: UTF-16, of which the first language is taken
			n, at := binary.BigEndian.Uint32(body[20:]), binary.BigEndian.Uint32(body[24:])
			if int64(at)+int64(n) > int64(len(body)) {
				return ""
			}
			var units []uint16
			for text := body[at : at+n]; len(text) >= 2; text = text[2:] {
				units = append(units, binary.BigEndian.Uint16(text))
			}
			return string(utf16.Decode(units))
		}
	}
	return ""
}
