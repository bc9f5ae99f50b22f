package picture

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Tags of TIFF and EXIF.
const (
	tagSubfile     = 254
	tagCompression = 259
	tagPhotometric = 262
	tagDescription = 270
	tagMake        = 271
	tagModel       = 272
	tagOrientation = 274
	tagSamples     = 277
	tagXResolution = 282
	tagYResolution = 283
	tagPlanar      = 284
	tagUnit        = 296
	tagSoftware    = 305
	tagDateTime    = 306
	tagArtist      = 315
	tagCopyright   = 33432
	tagEXIF        = 34665 // where a directory of its own lies
	tagICC         = 34675
	tagGPS         = 34853 // another one
	tagMakerNote   = 37500
	tagInterop     = 40965 // a directory inside of EXIF's
	tagDNG         = 50706
)

// sizes are those of one value of a kind, in bytes.
var sizes = map[uint16]uint64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8,
	13: 4}

// tiff is a directory of a TIFF structure: the first one, unless it says otherwise.
type tiff struct {
	data  []byte
	order binary.ByteOrder
	at    int // of the directory
	n     int // its entries
}

func openTIFF(data []byte) (t tiff, ok bool) {
	if len(data) < 8 {
		return t, false
	}
	switch string(data[:2]) {
	case "II":
		t.order = binary.LittleEndian
	case "MM":
		t.order = binary.BigEndian
	default:
		return t, false
	}
	if t.order.Uint16(data[2:]) != 42 {
		return t, false
	}
	t.data = data
	return t.directory(t.order.Uint32(data[4:]))
}

// directory is the one that lies there.
func (t tiff) directory(at uint32) (tiff, bool) {
	if uint64(at)+6 > uint64(len(t.data)) {
		return t, false
	}
	t.at, t.n = int(at), int(t.order.Uint16(t.data[at:]))
	return t, t.at+2+12*t.n+4 <= len(t.data)
}

// find tells where the values of a tag lie, of which kind and how many they are; at is 0 where there is no such.
func (t tiff) find(tag uint16) (at int, kind uint16, count uint64) {
	for i := range t.n {
		e := t.at + 2 + 12*i
		if t.order.Uint16(t.data[e:]) != tag {
			continue
		}
		kind, count = t.order.Uint16(t.data[e+2:]), uint64(t.order.Uint32(t.data[e+4:]))
		if at, _ = t.values(e); at == 0 {
			return 0, 0, 0
		}
		return at, kind, count
	}
	return 0, 0, 0
}

// values tells where the values of the entry at e lie, and their bytes; at is 0 where they are not in the file, or of
// no kind that is known.
func (t tiff) values(e int) (at int, size uint64) {
	size = uint64(t.order.Uint32(t.data[e+4:])) * sizes[t.order.Uint16(t.data[e+2:])]
	switch from := uint64(t.order.Uint32(t.data[e+8:])); {
	case size == 0:
		return 0, 0
	case size <= 4:
		return e + 8, size
	case from+size <= uint64(len(t.data)):
		return int(from), size
	}
	return 0, 0
}

// number is the first value of a tag of whole numbers.
func (t tiff) number(tag uint16) (v uint32, ok bool) {
	at, kind, count := t.find(tag)
	switch {
	case at == 0 || count == 0:
		return 0, false
	case kind == 1:
		return uint32(t.data[at]), true
	case kind == 3:
		return uint32(t.order.Uint16(t.data[at:])), true
	case kind == 4:
		return t.order.Uint32(t.data[at:]), true
	}
	return 0, false
}

// rational is the first value of a tag of fractions, 0 for none.
func (t tiff) rational(tag uint16) float64 {
	at, kind, count := t.find(tag)
	if at == 0 || kind != 5 || count == 0 || t.order.Uint32(t.data[at+4:]) == 0 {
		return 0
	}
	return float64(t.order.Uint32(t.data[at:])) / float64(t.order.Uint32(t.data[at+4:]))
}

// bytes are the values of a tag of bytes.
func (t tiff) bytes(tag uint16) []byte {
	at, kind, count := t.find(tag)
	if at == 0 || kind != 1 && kind != 7 {
		return nil
	}
	return bytes.Clone(t.data[at : at+int(count)])
}

// set writes a whole number where find found one.
func (t tiff) set(at int, kind uint16, v uint32) {
	switch kind {
	case 3:
		t.order.PutUint16(t.data[at:], uint16(v))
	case 4:
		t.order.PutUint32(t.data[at:], v)
	}
}

// next is where the next directory lies, 0 for none.
func (t tiff) next() uint32 { return t.order.Uint32(t.data[t.at+2+12*t.n:]) }

// cut makes the first directory the only one.
func (t tiff) cut() { t.order.PutUint32(t.data[t.at+2+12*t.n:], 0) }

// negativeFax tells a fax (CCITT) of which 0 is black: the decoder takes the white of a fax for white in any case,
// where it is 0.
func (t tiff) negativeFax() bool {
	compression, _ := t.number(tagCompression)
	zero, ok := t.number(tagPhotometric)
	return (compression == 3 || compression == 4) && ok && zero == 1
}

// planar tells a picture whose channels lie one after the other, which the decoder takes for one that is cut short.
func (t tiff) planar() bool {
	kind, _ := t.number(tagPlanar)
	samples, _ := t.number(tagSamples)
	return kind == 2 && samples > 1
}

// raw tells a camera's raw file from a TIFF picture: what a decoder finds in it is a small preview.
func (t tiff) raw() bool {
	_, dng := t.number(tagDNG)
	sub, _ := t.number(tagSubfile)
	return dng || sub&1 != 0 || len(t.data) > 10 && string(t.data[8:10]) == "CR"
}

// described are the tags of a TIFF file's directory that tell of the picture, and not of how it is stored.
var described = []uint16{tagDescription, tagMake, tagModel, tagSoftware, tagDateTime, tagArtist, tagCopyright, tagEXIF,
	tagGPS}

// mostEXIF is how many bytes an EXIF block in a JPEG may have, about.
const mostEXIF = 64000

// exifOf is an EXIF block of what a TIFF file's first directory tells of the picture, nil where that is nothing. What
// would make it larger than a JPEG may have is left out, and so are maker notes: where they point to is not known.
func exifOf(t tiff) []byte {
	const start = 8
	room := mostEXIF
	list := t.entries(&room, func(tag uint16) bool { return slices.Contains(described, tag) })
	if list == nil {
		return nil
	}
	order := t.order.(binary.AppendByteOrder)
	return appendDirectory(order.AppendUint32(order.AppendUint16(bytes.Clone(t.data[:2]), 42), start), order, list)
}

// tiffEntry is one of a directory.
type tiffEntry struct {
	head   []byte      // tag, kind, count
	values []byte      // nil for a directory
	inner  []tiffEntry // that directory
}

// entries are those of a directory for whose tags of is true, and of the directories that they point to. room is the
// number of bytes that are left for them.
func (t tiff) entries(room *int, of func(tag uint16) bool) (list []tiffEntry) {
	const entry = 12 // bytes
	seen := map[uint16]bool{}
	for i := range t.n {
		e := t.at + 2 + entry*i
		tag := t.order.Uint16(t.data[e:])
		at, size := t.values(e)
		if at == 0 || !of(tag) || seen[tag] || size > uint64(max(0, *room-entry-1)) {
			continue
		}
		seen[tag] = true
		one := tiffEntry{head: t.data[e : e+8], values: t.data[at : at+int(size)]}
		*room -= entry + int(size) + 1 // at an even place
		if tag == tagEXIF || tag == tagGPS {
			d, ok := tiff{}, false
			if size == 4 {
				d, ok = t.directory(t.order.Uint32(one.values))
			}
			if ok {
				one.values, one.inner = nil, d.entries(room, func(tag uint16) bool {
					return !slices.Contains([]uint16{tagEXIF, tagGPS, tagMakerNote, tagInterop}, tag)
				})
			}
			if one.inner == nil {
				continue
			}
		}
		list = append(list, one)
	}
	return list
}

// appendDirectory appends a directory, the last of its chain, and what its entries point to.
func appendDirectory(out []byte, order binary.AppendByteOrder, list []tiffEntry) []byte {
	put := order.(binary.ByteOrder)
	out = order.AppendUint16(out, uint16(len(list)))
	at := len(out)
	for _, e := range list {
		out = append(append(out, e.head...), make([]byte, 4)...)
	}
	out = order.AppendUint32(out, 0)
	for i, e := range list {
		if len(e.values) <= 4 && e.inner == nil {
			copy(out[at+12*i+8:], e.values)
			continue
		}
		out = append(out, make([]byte, len(out)%2)...)
		put.PutUint32(out[at+12*i+8:], uint32(len(out)))
		if e.inner != nil {
			out = appendDirectory(out, order, e.inner)
		} else {
			out = append(out, e.values...)
		}
	}
	return out
}
