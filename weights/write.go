package weights

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"

	"psld/asm"
	"psld/internal/atomicfile"
)

// Entry is one tensor to be written. Exactly one of Data, Raw and Read is used.
type Entry struct {
	Name  string
	DType DType // F32, F16, BF16, I64 or U8 with Data and Read; any with Raw
	Shape []int // row-major; empty for a scalar
	Data  []float32
	Raw   []byte // little-endian elements, taken when Data is nil
	// Read gives the values when their turn has come, so that a large file may
	// be written without being held: it is called once, after all entries
	// before have been written, and its result is used until the next call of
	// any entry's Read.
	Read func() ([]float32, error)
}

// Write stores entries, in the order given, as the safetensors file path. The
// file appears whole or not at all: it is written beside path and renamed.
// Values are rounded to nearest even for F16 and BF16; a finite value beyond the
// range of F16, and one that I64 or U8 cannot hold exactly, is an error.
// metadata may be nil.
func Write(path string, entries []Entry, metadata map[string]string) error {
	err := atomicfile.Write(path, func(w io.Writer) error { return Encode(w, entries, metadata) })
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Encode writes to w what [Write] stores in a file.
func Encode(w io.Writer, entries []Entry, metadata map[string]string) error {
	header, err := encodeHeader(entries, metadata)
	if err != nil {
		return err
	}
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(header)))
	if _, err := w.Write(n[:]); err != nil {
		return err
	}
	if _, err := io.WriteString(w, header); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Read != nil {
			if e.Data, err = e.Read(); err != nil {
				return fmt.Errorf("tensor %q: %w", e.Name, err)
			}
			if _, err := e.sizeOfData(); err != nil {
				return fmt.Errorf("tensor %q: %w", e.Name, err)
			}
		}
		if err := e.encode(w); err != nil {
			return fmt.Errorf("tensor %q: %w", e.Name, err)
		}
	}
	return nil
}

// encodeHeader checks the entries and gives the JSON header, padded with
// spaces so that the data starts at a multiple of 8 bytes.
func encodeHeader(entries []Entry, metadata map[string]string) (string, error) {
	var b strings.Builder
	sep := "{"
	field := func(name string, value any) error {
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		val, err := json.Marshal(value)
		fmt.Fprintf(&b, "%s%s:%s", sep, key, val)
		sep = ","
		return err
	}
	if metadata != nil {
		if err := field("__metadata__", metadata); err != nil {
			return "", err
		}
	}
	type info struct {
		DType   DType  `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	seen := map[string]bool{"__metadata__": true}
	at := 0
	for _, e := range entries {
		size, err := e.size()
		if err != nil {
			return "", fmt.Errorf("tensor %q: %w", e.Name, err)
		}
		if seen[e.Name] {
			return "", fmt.Errorf("tensor %q: name used twice or reserved", e.Name)
		}
		seen[e.Name] = true
		shape := append([]int{}, e.Shape...) // never null in JSON
		if err := field(e.Name, info{e.DType, shape, [2]int{at, at + size}}); err != nil {
			return "", err
		}
		at += size
	}
	if sep == "{" {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	for (b.Len())%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return "", fmt.Errorf("header of %d bytes, more than the limit %d", b.Len(), maxHeader)
	}
	return b.String(), nil
}

// size is the number of bytes of the entry, checked against its data.
func (e *Entry) size() (int, error) {
	elems, err := product(e.Shape)
	if err != nil {
		return 0, err
	}
	if e.DType.Size() == 0 {
		return 0, fmt.Errorf("unknown dtype %q", e.DType)
	}
	if e.Read != nil {
		if e.Data != nil || e.Raw != nil {
			return 0, errors.New("both Read and Data or Raw")
		}
		return elems * e.DType.Size(), e.checkValueType()
	}
	if e.Data == nil && (e.Raw != nil || elems == 0) {
		if want := elems * e.DType.Size(); len(e.Raw) != want {
			return 0, fmt.Errorf("%d raw bytes, but %s of shape %v needs %d", len(e.Raw), e.DType, e.Shape, want)
		}
		return len(e.Raw), nil
	}
	return e.sizeOfData()
}

// sizeOfData is the number of bytes that Data will take.
func (e *Entry) sizeOfData() (int, error) {
	elems, err := product(e.Shape)
	if err != nil {
		return 0, err
	}
	if len(e.Data) != elems {
		return 0, fmt.Errorf("%d values, but shape %v needs %d", len(e.Data), e.Shape, elems)
	}
	return elems * e.DType.Size(), e.checkValueType()
}

// checkValueType refuses types into which float32 values are not converted.
func (e *Entry) checkValueType() error {
	switch e.DType {
	case F32, F16, BF16, I64, U8:
		return nil
	}
	return fmt.Errorf("dtype %s can only be written from raw bytes", e.DType)
}

// product multiplies the dims of a shape.
func product(shape []int) (int, error) {
	n := uint64(1)
	for _, d := range shape {
		hi, lo := bits.Mul64(n, uint64(max(d, 0)))
		if d < 0 || hi != 0 || lo > math.MaxInt/8 {
			return 0, fmt.Errorf("shape %v is negative or overflows", shape)
		}
		n = lo
	}
	return int(n), nil
}

func (e *Entry) encode(w io.Writer) error {
	if e.Data == nil {
		_, err := w.Write(e.Raw)
		return err
	}
	le := binary.LittleEndian
	const block = 4096
	buf := make([]byte, 0, 8*block)
	var half [block]uint16
	for part := range slices.Chunk(e.Data, block) {
		buf = buf[:0]
		switch e.DType {
		case F32:
			for _, v := range part {
				buf = le.AppendUint32(buf, math.Float32bits(v))
			}
		case F16, BF16:
			if e.DType == F16 {
				asm.F32ToF16(half[:len(part)], part)
			} else {
				asm.F32ToBF16(half[:len(part)], part)
			}
			for i, h := range half[:len(part)] {
				if v := part[i]; e.DType == F16 && h&0x7fff == 0x7c00 && !math.IsInf(float64(v), 0) {
					return fmt.Errorf("value %v does not fit F16", v)
				}
				buf = le.AppendUint16(buf, h)
			}
		case I64:
			for _, v := range part {
				if v < -1<<63 || v >= 1<<63 || v != float32(math.Trunc(float64(v))) {
					return fmt.Errorf("value %v does not fit I64", v)
				}
				buf = le.AppendUint64(buf, uint64(int64(v)))
			}
		case U8:
			for _, v := range part {
				if !(v >= 0 && v <= 255) || v != float32(uint8(v)) {
					return fmt.Errorf("value %v does not fit U8", v)
				}
				buf = append(buf, uint8(v))
			}
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
