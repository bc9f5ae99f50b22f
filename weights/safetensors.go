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

	begin, end int   // bytes, relative to File.data
	stride     []int // in elements; nil when they lie in row-major order
}

// Elems is the number of elements: the product of Shape.
func (i Info) Elems() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// File is an open file of tensors: safetensors, or a PyTorch checkpoint. Its
// methods may be called from several goroutines at once, Close excepted.
type File struct {
	name    string // for messages: the path
	data    []byte // of safetensors without the header
	tensors map[string]Info
	meta    map[string]string
	mapped  []byte // the whole file when it is a mapping, for release
	unmap   func() error
}

// Open maps the file at path into memory and reads its list of tensors. It is a
// safetensors file or a checkpoint of PyTorch (.ckpt, .pth, .pt, .bin; zip or
// the legacy format), told apart by content. Tensor data is read from disk when
// it is first asked for. The file must not be truncated while it is open;
// [Write] replaces files and is safe.
//
// The tensors of a checkpoint are those of its "state_dict", else of the object
// itself, else of "params_ema", "params", "model_state_dict" or "model", else of
// the only dictionary of tensors in it. Whatever else it holds is passed over. No
// code in it is ever run: a pickle that asks for anything but tensors and plain
// containers is refused with the name of that thing.
func Open(path string) (*File, error) {
	data, unmap, err := mapFile(path)
	if err != nil {
		return nil, err // *PathError: names the file
	}
	parse := parseSafetensors
	if isCheckpoint(data) {
		parse = parseCheckpoint
	}
	f, err := parse(path, data)
	if err != nil {
		_ = unmap()
		return nil, err
	}
	f.mapped, f.unmap = data, unmap
	return f, nil
}

// Parse reads a whole file that is already in memory. The file keeps data;
// nothing is copied.
func Parse(data []byte) (*File, error) {
	if isCheckpoint(data) {
		return parseCheckpoint("checkpoint data", data)
	}
	return parseSafetensors("safetensors data", data)
}

func parseSafetensors(name string, file []byte) (*File, error) {
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
		"GGUF":         "a GGUF file, of quantised weights; want the model as .safetensors",
		"version ":     "a Git LFS pointer; fetch the real file with git lfs pull",
		"<!DOCTYP":     "a web page; the download went wrong",
		"\x89PNG":      "a picture (PNG)",
		"\xff\xd8\xff": "a picture (JPEG)",
		"\x1f\x8b":     "compressed by gzip; unpack it",
		"%PDF":         "a PDF",
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
	for _, d := range shape {
		if d == nil || *d < 0 {
			return info, fmt.Errorf("shape %v has a dimension that is not a number >= 0", numbers(shape))
		}
		info.Shape = append(info.Shape, int(*d))
	}
	// A type that is not known here does no harm until it is asked for.
	known := info.DType.Size() > 0
	size, err := byteSize(info.Shape, max(info.DType.Size(), 1))
	if err != nil {
		return info, err
	}
	if len(offsets) != 2 || offsets[0] == nil || offsets[1] == nil {
		return info, fmt.Errorf("data_offsets %v: want [begin, end]", numbers(offsets))
	}
	begin, end := *offsets[0], *offsets[1]
	if begin < 0 || begin > end || end > int64(dataLen) {
		return info, fmt.Errorf("data_offsets [%d, %d] do not lie in the %d bytes of data (file truncated?)",
			begin, end, dataLen)
	}
	if known && end-begin != int64(size) {
		return info, fmt.Errorf("data_offsets [%d, %d] hold %d bytes, but %s of shape %v needs %d",
			begin, end, end-begin, info.DType, info.Shape, size)
	}
	info.begin, info.end = int(begin), int(end)
	return info, nil
}

// byteSize is the number of bytes of a tensor. The product over the dims that
// are not 0 must not overflow, so that [0, huge, huge] is refused as well.
func byteSize(shape []int, item int) (int, error) {
	size, empty := uint64(item), false
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a dimension below 0", shape)
		}
		if d == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(size, uint64(d))
		if hi != 0 || lo > math.MaxInt {
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		size = lo
	}
	if empty {
		return 0, nil
	}
	return int(size), nil
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

// Metadata is the "__metadata__" table of a safetensors file, nil when it has none.
func (f *File) Metadata() map[string]string { return maps.Clone(f.meta) }

// Bytes is the raw little-endian data of the named tensor, row-major. It points
// into the file: read only, not aligned, and gone after Close. Only a tensor of a
// checkpoint that is stored in another order, a transposed one for example, is a
// copy. A tensor of a dtype that is not known here is an error.
func (f *File) Bytes(name string) ([]byte, error) {
	t, ok := f.tensors[name]
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q", f.name, name)
	}
	if f.data == nil && t.end > 0 {
		return nil, fmt.Errorf("%s: tensor %q read after Close", f.name, name)
	}
	if t.DType.Size() == 0 {
		return nil, fmt.Errorf("%s: tensor %q: dtype %q is not one of F64 F32 F16 BF16 F8_E4M3 F8_E5M2 I64 I32 I16 I8 U8 "+
			"BOOL",
			f.name, name, printable(string(t.DType)))
	}
	if t.stride != nil {
		return t.gather(f.data[t.begin:t.end]), nil
	}
	return f.data[t.begin:t.end:t.end], nil
}

// Close unmaps the file. Slices from Bytes must not be used afterwards; those
// from Float32 and Int64 are copies and stay.
func (f *File) Close() error {
	f.data, f.mapped = nil, nil
	if f.unmap == nil {
		return nil
	}
	unmap := f.unmap
	f.unmap = nil
	return unmap()
}
