package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// maxHeader is the largest JSON header that is read, in bytes: the limit of the
// reference implementation.
const maxHeader = 100_000_000

// Info describes one tensor of a [File].
type Info struct {
	DType DType
	Shape []int // row-major; empty for a scalar

	begin, end int // bytes, relative to File.data
}

// Elems is the number of elements: the product of Shape.
func (i Info) Elems() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// File is an open safetensors file. Its methods may be called from several
// goroutines at once, Close excepted.
type File struct {
	name    string // for messages: the path
	data    []byte // the tensors, without the header
	tensors map[string]Info
	meta    map[string]string
	unmap   func() error
}

// Open maps the safetensors file at path into memory and checks its header.
// Tensor data is read from disk when it is first asked for. The file must not
// be truncated while it is open; [Write] replaces files and is safe.
func Open(path string) (*File, error) {
	data, unmap, err := mapFile(path)
	if err != nil {
		return nil, err // *PathError: names the file
	}
	f, err := parse(path, data)
	if err != nil {
		_ = unmap()
		return nil, err
	}
	f.unmap = unmap
	return f, nil
}

// Parse reads a whole safetensors file that is already in memory. The file
// keeps data; nothing is copied.
func Parse(data []byte) (*File, error) { return parse("safetensors data", data) }

func parse(name string, file []byte) (*File, error) {
	fail := func(format string, args ...any) (*File, error) {
		return nil, fmt.Errorf("%s: not a valid safetensors file: %w", name, fmt.Errorf(format, args...))
	}
	if len(file) < 8 {
		return fail("%d bytes, shorter than the 8-byte header length", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	if rest := len(file) - 8; n > uint64(rest) {
		if other := otherFormat(file); other != "" {
			return fail("it is %s", other)
		}
		return fail("header of %d bytes, but only %d bytes follow (truncated, or another format)", n, rest)
	}
	if n > maxHeader {
		return fail("header of %d bytes, more than the limit %d", n, maxHeader)
	}
	header, data := file[8:8+n], file[8+n:]
	if n == 0 || header[0] != '{' {
		return fail("the header does not begin with '{'")
	}
	f := &File{name: name, data: data}
	if err := f.parseHeader(header); err != nil {
		return fail("%w", err)
	}
	if err := f.checkCover(); err != nil {
		return fail("%w", err)
	}
	return f, nil
}

// otherFormat recognises what people pass by mistake. All of these beginnings
// are huge numbers when taken for the length of a header.
func otherFormat(file []byte) string {
	for begin, what := range map[string]string{
		"PK\x03\x04":     "a PyTorch .ckpt/.pt/.bin (zip) file; convert it to safetensors first",
		"\x80\x02\x8a\n": "a PyTorch pickle; convert it to safetensors first",
		"GGUF":           "a GGUF file",
		"version ":       "a Git LFS pointer; fetch the real file with git lfs pull",
		"<!DOCTYP":       "a web page; the download went wrong",
	} {
		if bytes.HasPrefix(file, []byte(begin)) {
			return what
		}
	}
	return ""
}

// parseHeader walks the JSON by hand, because encoding/json keeps the last of
// two equal keys, matches keys in any case and takes null for a zero.
func (f *File) parseHeader(header []byte) error {
	if !utf8.Valid(header) {
		return errors.New("the header is not UTF-8")
	}
	f.tensors = map[string]Info{}
	seenMeta := false
	dec := json.NewDecoder(bytes.NewReader(header))
	err := eachKey(dec, func(name string) error {
		if name == "__metadata__" {
			if seenMeta {
				return errors.New("__metadata__ appears twice")
			}
			seenMeta = true
			return f.parseMetadata(dec)
		}
		if _, dup := f.tensors[name]; dup {
			return fmt.Errorf("tensor %q appears twice", name)
		}
		info, err := parseInfo(dec, len(f.data))
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		f.tensors[name] = info
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("the header goes on after its closing brace")
	}
	return nil
}

// eachKey reads one JSON object; visit must consume the value of each key.
func eachKey(dec *json.Decoder, visit func(key string) error) error {
	tok, err := dec.Token()
	if err != nil {
		return jsonError(err)
	}
	if tok != json.Delim('{') {
		return fmt.Errorf("want a JSON object, got %v", tok)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return jsonError(err)
		}
		// The decoder lets only strings through where a key belongs.
		if err := visit(key.(string)); err != nil {
			return err
		}
	}
	_, err = dec.Token() // '}'
	return jsonError(err)
}

// jsonError turns the decoder's bare end-of-file into words.
func jsonError(err error) error {
	if err == nil {
		return nil
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the JSON header ends too early")
	}
	return fmt.Errorf("JSON header: %w", err)
}

func (f *File) parseMetadata(dec *json.Decoder) error {
	f.meta = map[string]string{}
	err := eachKey(dec, func(key string) error {
		if _, dup := f.meta[key]; dup {
			return fmt.Errorf("key %q appears twice", key)
		}
		var v *string
		if err := dec.Decode(&v); err != nil {
			return jsonError(err)
		}
		if v == nil {
			return fmt.Errorf("key %q: want a string, got null", key)
		}
		f.meta[key] = *v
		return nil
	})
	if err != nil {
		return fmt.Errorf("__metadata__: %w", err)
	}
	return nil
}

// parseInfo reads {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]} and
// checks it against the dataLen bytes that follow the header.
func parseInfo(dec *json.Decoder, dataLen int) (Info, error) {
	var info Info
	var dtype *string
	var shape, offsets []*int64 // pointers: null must not become 0
	seen := map[string]bool{}
	err := eachKey(dec, func(key string) error {
		if seen[key] {
			return fmt.Errorf("%q appears twice", key)
		}
		seen[key] = true
		var into any
		switch key {
		case "dtype":
			into = &dtype
		case "shape":
			into = &shape
		case "data_offsets":
			into = &offsets
		default:
			return fmt.Errorf("unknown field %q", key)
		}
		if err := dec.Decode(into); err != nil {
			return fmt.Errorf("%s: %w", key, jsonError(err))
		}
		return nil
	})
	if err != nil {
		return info, err
	}
	if dtype == nil || shape == nil || offsets == nil {
		return info, errors.New("want all of dtype, shape and data_offsets")
	}
	info.DType = DType(*dtype)
	if info.DType.Size() == 0 {
		return info, fmt.Errorf("dtype %q is not one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL", *dtype)
	}
	// size is the product over the dims that are not 0, so that [0, huge, huge]
	// is refused as well.
	size, empty := uint64(info.DType.Size()), false
	for _, d := range shape {
		if d == nil || *d < 0 {
			return info, fmt.Errorf("shape %v has a dimension that is not a number >= 0", numbers(shape))
		}
		info.Shape = append(info.Shape, int(*d))
		if *d == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(size, uint64(*d))
		if hi != 0 || lo > math.MaxInt {
			return info, fmt.Errorf("shape %v overflows", numbers(shape))
		}
		size = lo
	}
	if empty {
		size = 0
	}
	if len(offsets) != 2 || offsets[0] == nil || offsets[1] == nil {
		return info, fmt.Errorf("data_offsets %v: want [begin, end]", numbers(offsets))
	}
	begin, end := *offsets[0], *offsets[1]
	if begin < 0 || begin > end || end > int64(dataLen) {
		return info, fmt.Errorf("data_offsets [%d, %d] do not lie in the %d bytes of data (file truncated?)", begin, end, dataLen)
	}
	if uint64(end-begin) != size {
		return info, fmt.Errorf("data_offsets [%d, %d] hold %d bytes, but %s of shape %v needs %d",
			begin, end, end-begin, info.DType, info.Shape, size)
	}
	info.begin, info.end = int(begin), int(end)
	return info, nil
}

// numbers makes a list with nulls printable.
func numbers(list []*int64) []string {
	var out []string
	for _, p := range list {
		if p == nil {
			out = append(out, "null")
		} else {
			out = append(out, fmt.Sprint(*p))
		}
	}
	return out
}

// checkCover refuses tensors that overlap and bytes that belong to none.
func (f *File) checkCover() error {
	names := slices.SortedFunc(maps.Keys(f.tensors), func(a, b string) int {
		x, y := f.tensors[a], f.tensors[b]
		return cmp.Or(cmp.Compare(x.begin, y.begin), cmp.Compare(x.end, y.end), cmp.Compare(a, b))
	})
	at, last := 0, ""
	for _, name := range names {
		t := f.tensors[name]
		if t.begin < at {
			return fmt.Errorf("tensor %q (from byte %d) overlaps %q (to byte %d)", name, t.begin, last, at)
		}
		if t.begin > at {
			return fmt.Errorf("bytes %d to %d before tensor %q belong to no tensor", at, t.begin, name)
		}
		at, last = t.end, name
	}
	if at != len(f.data) {
		return fmt.Errorf("the last %d bytes belong to no tensor", len(f.data)-at)
	}
	return nil
}

// Name is the path the file was opened from, for messages.
func (f *File) Name() string { return f.name }

// Names lists the tensors in alphabetical order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.tensors)) }

// Info describes the named tensor; ok is false when the file has none of that
// name.
func (f *File) Info(name string) (info Info, ok bool) {
	info, ok = f.tensors[name]
	info.Shape = slices.Clone(info.Shape)
	return info, ok
}

// Has tells whether the file holds the named tensor.
func (f *File) Has(name string) bool {
	_, ok := f.tensors[name]
	return ok
}

// Metadata is the file's "__metadata__" table, nil when it has none.
func (f *File) Metadata() map[string]string { return maps.Clone(f.meta) }

// Bytes is the raw little-endian data of the named tensor. It points into the
// file: read only, not aligned, and gone after Close.
func (f *File) Bytes(name string) ([]byte, error) {
	t, ok := f.tensors[name]
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q", f.name, name)
	}
	if f.data == nil && t.end > 0 {
		return nil, fmt.Errorf("%s: tensor %q read after Close", f.name, name)
	}
	return f.data[t.begin:t.end:t.end], nil
}

// Close unmaps the file. Slices from Bytes must not be used afterwards; those
// from Float32 and Int64 are copies and stay.
func (f *File) Close() error {
	f.data = nil
	if f.unmap == nil {
		return nil
	}
	unmap := f.unmap
	f.unmap = nil
	return unmap()
}
