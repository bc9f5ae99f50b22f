package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"slices"
	"strings"

	"github.com/nlpodyssey/gopickle/types"
)

// The checkpoints of torch.save. Since PyTorch 1.6 they are zip archives:
// NAME/data.pkl is a pickle that describes the tensors and NAME/data/KEY the
// bytes of each storage, not compressed. Before, they were five pickles (magic
// number, version, system, the object, keys of the storages) and the storages.
// Facts: torch/serialization.py of PyTorch.

// maxExpanded is the size, in bytes, up to which a tensor may be larger than
// the file because its elements repeat (stride 0).
const maxExpanded = 16 << 20

var legacyMagic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

// isCheckpoint tells a checkpoint by its beginning: a zip archive, or a pickle
// of protocol 2 to 5.
func isCheckpoint(file []byte) bool {
	if len(file) > 8 && file[8] == '{' && binary.LittleEndian.Uint32(file[4:]) == 0 {
		return false // safetensors, whose header length happens to look like that
	}
	return isZip(file) || len(file) > 2 && file[0] == 0x80 && file[1] >= 2 && file[1] <= 5
}

func isZip(file []byte) bool { return bytes.HasPrefix(file, []byte("PK\x03\x04")) }

// parseCheckpoint reads a file of torch.save.
func parseCheckpoint(name string, file []byte) (*File, error) {
	u := &unpickler{fileLen: len(file), storages: map[string]*storage{}}
	read := u.readLegacy
	if isZip(file) {
		read = u.readZip
	}
	f := &File{name: name, data: file}
	root, find, err := read(file)
	if err == nil {
		f.tensors, err = infos(root, find, len(file))
	}
	var refused refusal
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: not a valid PyTorch checkpoint: %w", name, err)
	}
	return f, nil
}

// finder sets the begin of a storage.
type finder func(*storage) error

// readZip gives the pickled object of a zip archive.
func (u *unpickler) readZip(file []byte) (root any, find finder, err error) {
	archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, nil, fmt.Errorf("%w (file truncated?)", err)
	}
	entries := map[string]*zip.File{}
	var folders []string
	for _, e := range archive.File {
		if entries[e.Name] != nil {
			return nil, nil, fmt.Errorf("two entries %q", printable(e.Name))
		}
		entries[e.Name] = e
		if folder, ok := strings.CutSuffix(e.Name, "/data.pkl"); ok && !strings.Contains(folder, "/") {
			folders = append(folders, folder)
		}
	}
	if len(folders) != 1 {
		return nil, nil, fmt.Errorf("a zip file with %d data.pkl, want 1: not of torch.save", len(folders))
	}
	dir := folders[0] + "/"
	if entries[dir+"constants.pkl"] != nil {
		return nil, nil, errors.New("a TorchScript program; save its state_dict instead")
	}
	bytesOf := func(name string) (begin, end int, err error) {
		e := entries[dir+name]
		if e == nil {
			return 0, 0, fmt.Errorf("no entry %q", printable(dir+name))
		}
		// What torch.save writes; and what cannot grow when it is read.
		if e.Method != zip.Store || e.Flags&1 != 0 || e.CompressedSize64 != e.UncompressedSize64 {
			return 0, 0, fmt.Errorf("entry %q is compressed or encrypted", printable(e.Name))
		}
		at, err := e.DataOffset()
		if err != nil {
			return 0, 0, fmt.Errorf("entry %q: %w", printable(e.Name), err)
		}
		if at < 0 || at > int64(len(file)) || e.UncompressedSize64 > uint64(len(file))-uint64(at) {
			return 0, 0, fmt.Errorf("entry %q does not lie in the file", printable(e.Name))
		}
		return int(at), int(at) + int(e.UncompressedSize64), nil
	}
	if entries[dir+"byteorder"] != nil {
		begin, end, err := bytesOf("byteorder")
		if err != nil {
			return nil, nil, err
		}
		if order := string(file[begin:end]); order != "little" {
			return nil, nil, fmt.Errorf("byte order %q, want little", printable(order))
		}
	}
	begin, end, err := bytesOf("data.pkl")
	if err != nil {
		return nil, nil, err
	}
	root, _, err = u.load(file[begin:end])
	find = func(s *storage) error {
		begin, end, err := bytesOf("data/" + s.key)
		if err != nil {
			return err
		}
		if end-begin != s.elems*s.item {
			return fmt.Errorf("entry %q has %d bytes, want %d", printable(dir+"data/"+s.key), end-begin, s.elems*s.item)
		}
		s.begin = begin
		return nil
	}
	return root, find, err
}

// readLegacy gives the pickled object of the older format.
func (u *unpickler) readLegacy(file []byte) (root any, find finder, err error) {
	var head [3]any // magic number, version, system
	rest := file
	for i := range head {
		if head[i], rest, err = u.load(rest); err != nil {
			return nil, nil, err
		}
		magic, ok := head[0].(*big.Int)
		if !ok || magic.Cmp(legacyMagic) != 0 {
			return nil, nil, errors.New("a pickle, but not of torch.save: the magic number is missing")
		}
	}
	if head[1] != 1001 {
		return nil, nil, errors.New("unknown version of the format, want 1001")
	}
	system, _ := entriesOf(head[2])
	if little, _ := lookup(system, "little_endian").(bool); !little {
		return nil, nil, errors.New("big-endian, want little_endian")
	}
	if root, rest, err = u.load(rest); err != nil {
		return nil, nil, err
	}
	keys, rest, err := u.load(rest)
	if err != nil {
		return nil, nil, err
	}
	list, ok := keys.(*types.List)
	if !ok {
		return nil, nil, errors.New("no list of storages")
	}
	for _, k := range *list {
		key, _ := k.(string)
		s := u.storages[key]
		if s == nil || s.begin >= 0 {
			return nil, nil, fmt.Errorf("storage %q is listed but not used, or twice", printable(key))
		}
		if len(rest) < 8 {
			return nil, nil, fmt.Errorf("storage %q lies beyond the end (file truncated?)", printable(key))
		}
		elems := binary.LittleEndian.Uint64(rest)
		rest = rest[8:]
		if elems != uint64(s.elems) {
			return nil, nil, fmt.Errorf("storage %q has %d elements, want %d", printable(key), elems, s.elems)
		}
		size := s.elems * s.item
		if size > len(rest) {
			return nil, nil, fmt.Errorf("storage %q has %d bytes, but only %d follow (file truncated?)", printable(key),
				size, len(rest))
		}
		s.begin = len(file) - len(rest)
		rest = rest[size:]
	}
	find = func(s *storage) error { return fmt.Errorf("storage %q is not in the file", printable(s.key)) }
	return root, find, nil
}

// infos places the tensors of the state dictionary in the file.
func infos(root any, find finder, fileLen int) (map[string]Info, error) {
	dict, err := stateDict(root)
	if err != nil {
		return nil, err
	}
	tensors := map[string]Info{}
	for _, e := range dict {
		name, ok1 := e.Key.(string)
		t, ok2 := e.Value.(*tensor)
		if !ok1 || !ok2 {
			continue
		}
		if t.storage.begin < 0 {
			if err := find(t.storage); err != nil {
				return nil, fmt.Errorf("tensor %q: %w", printable(name), err)
			}
		}
		// Of two equal keys the last counts, as in Python.
		if tensors[name], err = t.info(fileLen); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", printable(name), err)
		}
	}
	return tensors, nil
}

// stateDict picks the dictionary of tensors: "state_dict" (PyTorch Lightning),
// else the object itself, else the keys that restoration networks use, the
// averaged weights first, else the only one there is.
func stateDict(root any) ([]types.DictEntry, error) {
	top, ok := entriesOf(root)
	if !ok {
		return nil, errors.New("want a dictionary of tensors (a state_dict)")
	}
	inner := func(key string) []types.DictEntry {
		d, _ := entriesOf(lookup(top, key))
		return d
	}
	for _, d := range [][]types.DictEntry{
		inner("state_dict"), top, inner("params_ema"), inner("params"), inner("model_state_dict"), inner("model"),
	} {
		if hasTensors(d) {
			return d, nil
		}
	}
	var found []types.DictEntry
	var names []string
	seen := map[any]bool{} // the same dictionary may be there a thousand times
	for _, e := range top {
		d, ok := entriesOf(e.Value)
		if !ok || seen[e.Value] {
			continue
		}
		seen[e.Value] = true
		if hasTensors(d) {
			found = d
			names = append(names, printable(fmt.Sprint(e.Key)))
		}
	}
	switch len(names) {
	case 0:
		return nil, errors.New("no tensors in it")
	case 1:
		return found, nil
	}
	return nil, fmt.Errorf("several dictionaries of tensors (%s), none of them named state_dict",
		printable(strings.Join(names, ", ")))
}

// entriesOf lists a dict or an OrderedDict in order.
func entriesOf(v any) (entries []types.DictEntry, ok bool) {
	switch d := v.(type) {
	case *types.Dict:
		return *d, true
	case *types.OrderedDict:
		for e := d.List.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*types.OrderedDictEntry)
			entries = append(entries, types.DictEntry{Key: entry.Key, Value: entry.Value})
		}
		return entries, true
	}
	return nil, false
}

func lookup(dict []types.DictEntry, key string) (value any) {
	for _, e := range dict {
		if e.Key == key {
			value = e.Value
		}
	}
	return value
}

func hasTensors(dict []types.DictEntry) bool {
	return slices.ContainsFunc(dict, func(e types.DictEntry) bool {
		_, isTensor := e.Value.(*tensor)
		_, isString := e.Key.(string)
		return isTensor && isString
	})
}

// info checks the view against its storage, which has been found in the file.
func (t *tensor) info(fileLen int) (Info, error) {
	item := itemSize(t.dtype)
	info := Info{DType: t.dtype, Shape: t.shape}
	if len(t.stride) != len(t.shape) {
		return info, fmt.Errorf("shape %v and stride %v differ in length", t.shape, t.stride)
	}
	size, err := byteSize(t.shape, item)
	if err != nil {
		return info, err
	}
	if size > max(fileLen, maxExpanded) {
		return info, fmt.Errorf("shape %v is %d bytes, more than the file", t.shape, size)
	}
	// A storage of bytes holds fewer elements of a larger type.
	elems := t.storage.elems * t.storage.item / item
	if t.offset < 0 || t.offset > elems {
		return info, fmt.Errorf("offset %d is outside of its storage of %d elements", t.offset, elems)
	}
	info.begin = t.storage.begin + t.offset*item
	info.end = info.begin
	if size == 0 {
		return info, nil
	}
	last := uint64(t.offset)
	dense, contiguous := 1, true
	for i := len(t.shape) - 1; i >= 0; i-- {
		d, stride := t.shape[i], t.stride[i]
		if d == 1 {
			continue
		}
		hi, span := bits.Mul64(uint64(d-1), uint64(stride))
		last += span
		if stride < 0 || hi != 0 || span >= uint64(elems) || last >= uint64(elems) {
			last = uint64(elems)
			break
		}
		contiguous = contiguous && stride == dense
		dense *= d
	}
	if last >= uint64(elems) {
		return info, fmt.Errorf("shape %v with stride %v from element %d goes beyond its storage of %d elements",
			t.shape, t.stride, t.offset, elems)
	}
	info.end = t.storage.begin + (int(last)+1)*item
	if !contiguous {
		info.stride = t.stride
	}
	return info, nil
}

// gather copies the elements of a view that is not contiguous into row-major
// order. data is from the first to the last element.
func (i Info) gather(data []byte) []byte {
	item := itemSize(i.DType)
	out := make([]byte, 0, i.Elems()*item)
	last := len(i.Shape) - 1
	index := make([]int, len(i.Shape))
	for len(out) < cap(out) {
		at := 0
		for d, k := range index {
			at += k * i.stride[d] * item
		}
		for range i.Shape[last] {
			out = append(out, data[at:at+item]...)
			at += i.stride[last] * item
		}
		for d := last - 1; d >= 0; d-- {
			if index[d]++; index[d] < i.Shape[d] {
				break
			}
			index[d] = 0
		}
	}
	return out
}
