package picture

import (
	"bytes"
	"encoding/binary"
)

// Tags of TIFF and EXIF.
const (
	tagSubfile     = 254
	tagOrientation = 274
	tagXResolution = 282
	tagYResolution = 283
	tagUnit        = 296
	tagICC         = 34675
	tagDNG         = 50706
)

// tiff is the first directory of a TIFF structure.
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
	at := uint64(t.order.Uint32(data[4:]))
	if t.order.Uint16(data[2:]) != 42 || at+6 > uint64(len(data)) {
		return t, false
	}
	t.data, t.at, t.n = data, int(at), int(t.order.Uint16(data[at:]))
	return t, t.at+2+12*t.n+4 <= len(data)
}

// find tells where the values of a tag lie, of which kind and how many they are; at is 0 where there is no such.
func (t tiff) find(tag uint16) (at int, kind uint16, count uint64) {
	for i := range t.n {
		e := t.at + 2 + 12*i
		if t.order.Uint16(t.data[e:]) != tag {
			continue
		}
		kind, count = t.order.Uint16(t.data[e+2:]), uint64(t.order.Uint32(t.data[e+4:]))
		size := count * map[uint16]uint64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}[kind]
		if size <= 4 {
			return e + 8, kind, count
		}
		if from := uint64(t.order.Uint32(t.data[e+8:])); from+size <= uint64(len(t.data)) {
			return int(from), kind, count
		}
		return 0, 0, 0
	}
	return 0, 0, 0
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

// raw tells a camera's raw file from a TIFF picture: what a decoder finds in it is a small preview.
func (t tiff) raw() bool {
	_, dng := t.number(tagDNG)
	sub, _ := t.number(tagSubfile)
	return dng || sub&1 != 0 || len(t.data) > 10 && string(t.data[8:10]) == "CR"
}
