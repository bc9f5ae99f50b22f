package weights_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

const checkpoints = "testdata/checkpoints/"

// Checkpoints that PyTorch wrote hold the numbers that Python read from them.
func TestCheckpoints(t *testing.T) {
	var expected struct {
		Files map[string]string
		Sets  map[string]map[string]struct {
			DType  weights.DType
			Shape  []int
			Values []float64
		}
	}
	b, err := os.ReadFile(checkpoints + "expected.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &expected))
	require.Len(t, expected.Files, 10)
	for file, set := range expected.Files {
		t.Run(file, func(t *testing.T) {
			f, err := weights.Open(checkpoints + file)
			require.NoError(t, err)
			defer f.Close()
			want := expected.Sets[set]
			require.Len(t, f.Names(), len(want))
			for name, w := range want {
				info, ok := f.Info(name)
				require.True(t, ok, name)
				require.Equal(t, w.DType, info.DType, name)
				require.Equal(t, fmt.Sprint(w.Shape), fmt.Sprint(info.Shape), name)
				got, err := f.Float32(name)
				if w.Values == nil {
					require.ErrorContains(t, err, fmt.Sprintf("%s: tensor %q: dtype %q", checkpoints+file, name, w.DType))
					continue
				}
				require.NoError(t, err, name)
				require.Len(t, got, len(w.Values), name)
				for i, v := range w.Values {
					require.Equal(t, float32(v), got[i], name)
				}
			}
			require.NoError(t, f.Close())
			_, err = f.Float32(f.Names()[0])
			require.ErrorContains(t, err, "after Close")
		})
	}
}

// Tensors are read in place, also where they share a storage.
func TestCheckpointInPlace(t *testing.T) {
	for _, file := range []string{"lightning.ckpt", "lightning-legacy.ckpt"} {
		data, err := os.ReadFile(checkpoints + file)
		require.NoError(t, err)
		f, err := weights.Parse(data)
		require.NoError(t, err)
		at := func(name string) uintptr {
			b, err := f.Bytes(name)
			require.NoError(t, err)
			return uintptr(unsafe.Pointer(&b[0])) - uintptr(unsafe.Pointer(&data[0]))
		}
		require.Less(t, at("shared.whole"), uintptr(len(data)), file)
		require.Equal(t, at("shared.whole")+4*6, at("shared.rows"), file)
		require.GreaterOrEqual(t, at("shared.transposed"), uintptr(len(data)), "a copy")
	}
}

// What torch can write and we do not read.
func TestCheckpointUnread(t *testing.T) {
	for file, want := range map[string]string{
		"refused-two.pth": "several dictionaries of tensors (a, b), none of them named state_dict",
		"refused-module.pth": "refused: the pickle asks for torch.nn.modules.linear.Linear; only tensors and plain " +
			"containers are read",
		"refused-sparse.pth":    "refused: the pickle asks for torch._utils._rebuild_sparse_tensor",
		"refused-conjugate.pth": "conjugate or negative view",
	} {
		_, err := weights.Open(checkpoints + file)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, checkpoints+file+": ")
	}
}

// A file cut short anywhere is an error.
func TestCheckpointTruncated(t *testing.T) {
	files, err := filepath.Glob(checkpoints + "*.[cpb]*")
	require.NoError(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for n := 0; n < len(data); n += 1 + n%13 {
			_, err := weights.Parse(data[:n])
			require.Error(t, err, "%s: %d of %d bytes", file, n, len(data))
		}
	}
}

// Opcodes of Python's pickle, as its module pickletools names them.
func pGlobal(module, name string) string { return "c" + module + "\n" + name + "\n" }
func pText(s string) string              { return "X" + le32(len(s)) + s }
func pInt(n int) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}
func le32(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

func pInts(list ...int) string {
	s := "("
	for _, n := range list {
		s += pInt(n)
	}
	return s + "t"
}

// pStorage is a persistent id.
func pStorage(class, key string, elems int) string {
	return "(" + pText("storage") + pGlobal("torch", class) + pText(key) + pText("cpu") + pInt(elems) + "tQ"
}

func pTensor(storage string, offset int, shape, stride []int) string {
	return pGlobal("torch._utils", "_rebuild_tensor_v2") + "(" + storage + pInt(offset) +
		pInts(shape...) + pInts(stride...) + "\x89" + pGlobal("collections", "OrderedDict") + ")RtR"
}

// pDict is the pickle of {"x": value}.
func pDict(value string) string { return "\x80\x02}" + pText("x") + value + "s." }

// zipEntry is an entry of an archive; it is stored unless it says otherwise.
type zipEntry struct {
	name, data string
	method     uint16
}

func zipOf(entries ...zipEntry) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.CreateHeader(&zip.FileHeader{Name: e.name, Method: e.method})
		if err == nil {
			_, err = f.Write([]byte(e.data))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// ckpt is a checkpoint of one storage, "0", of 8 float32: 0 to 7.
func ckpt(pickle string) []byte { return zipOf(zipEntry{name: "a/data.pkl", data: pickle}, storage0) }

var storage0 = func() zipEntry {
	var b []byte
	for i := range 8 {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)))
	}
	return zipEntry{name: "a/data/0", data: string(b)}
}()

// legacy is a checkpoint of the older format with the keys and bytes given.
func legacy(pickle, keys, rest string) []byte {
	return []byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + "\x80\x02M\xe9\x03." +
		"\x80\x02}" + pText("little_endian") + "\x88s." + pickle + keys + rest)
}

var (
	float8 = pStorage("FloatStorage", "0", 8)
	goodX  = pDict(pTensor(float8, 0, []int{8}, []int{1}))
	keyX   = "\x80\x02]" + pText("0") + "a."
	restX  = "\x08\x00\x00\x00\x00\x00\x00\x00" + storage0.data
)

// Views are checked against the formula of their address.
func TestCheckpointViews(t *testing.T) {
	for _, c := range []struct {
		offset        int
		shape, stride []int
		want          []float32
	}{
		{0, []int{8}, []int{1}, []float32{0, 1, 2, 3, 4, 5, 6, 7}},
		{6, []int{2}, []int{1}, []float32{6, 7}},
		{0, []int{2, 4}, []int{1, 2}, []float32{0, 2, 4, 6, 1, 3, 5, 7}},
		{1, []int{2, 2}, []int{4, 2}, []float32{1, 3, 5, 7}},
		{7, []int{}, []int{}, []float32{7}},
		{3, []int{1, 1}, []int{99, 1000}, []float32{3}}, // strides of size 1 mean nothing
		{2, []int{3, 2}, []int{1, 0}, []float32{2, 2, 3, 3, 4, 4}},
		{0, []int{2, 2, 2}, []int{1, 4, 2}, []float32{0, 2, 4, 6, 1, 3, 5, 7}},
		{8, []int{0, 5}, []int{5, 1}, []float32{}},
	} {
		for name, data := range map[string][]byte{
			"zip":    ckpt(pDict(pTensor(float8, c.offset, c.shape, c.stride))),
			"legacy": legacy(pDict(pTensor(float8, c.offset, c.shape, c.stride)), keyX, restX),
		} {
			f, err := weights.Parse(data)
			require.NoError(t, err, "%s %+v", name, c)
			got, err := f.Float32("x")
			require.NoError(t, err)
			require.Equal(t, c.want, got, "%s %+v", name, c)
		}
	}
}

// Objects of training loops next to the tensors are passed over.
func TestCheckpointSkips(t *testing.T) {
	for _, other := range []string{
		pGlobal("collections", "defaultdict") + "(NtR" + pText("k") + "K\x01s",
		pGlobal("torch.nn.modules.container", "ParameterDict") + ")\x81}" + pText("k") + "Nsb",
		pGlobal("builtins", "set") + "(]tR",
		pGlobal("lightning.pytorch.callbacks.early_stopping", "EarlyStopping"),
		pGlobal("torch", "uint16"),
	} {
		f, err := weights.Parse(ckpt("\x80\x02}" + pText("other") + other + "s" + goodX[3:]))
		require.NoError(t, err, other)
		require.Equal(t, []string{"x"}, f.Names())
	}
}

const asks = "refused: the pickle asks for "

// badCheckpoints are refused, each with an error that contains want.
var badCheckpoints = []struct {
	name string
	data []byte
	want string
}{
	// Code.
	{"os.system", ckpt("\x80\x02" + pGlobal("os", "system") + "(" + pText("true") + "tR."),
		asks + "os.system; only tensors"},
	{"os.system, legacy", legacy("\x80\x02"+pGlobal("os", "system")+"("+pText("true")+"tR.", keyX, restX),
		asks + "os.system;"},
	{"os.system for the magic number", []byte("\x80\x02" + pGlobal("os", "system") + "(" + pText("true") + "tR."),
		asks + "os.system;"},
	{"posix.system by STACK_GLOBAL", ckpt("\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."),
		asks + "posix.system;"},
	{"in a frame", ckpt("\x80\x04\x95\x11\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93."),
		asks + "posix.system;"},
	{"os.system by INST", ckpt("(" + pText("true") + "ios\nsystem\n."), asks + "os.system;"},
	{"builtins.eval in a dict", ckpt(pDict(pGlobal("builtins", "eval") + "(" + pText("1") + "tR")),
		asks + "builtins.eval;"},
	{"python 2 eval", ckpt(pDict(pGlobal("__builtin__", "eval"))), asks + "__builtin__.eval;"},
	{"getattr", ckpt(pDict(pGlobal("builtins", "getattr"))), asks + "builtins.getattr;"},
	{"named only", ckpt(pDict(pGlobal("subprocess", "Popen"))), asks + "subprocess.Popen;"},
	{"torch.load", ckpt(pDict(pGlobal("torch.storage", "_load_from_bytes"))), asks + "torch.storage._load_from_bytes;"},
	{"torch.hub", ckpt(pDict(pGlobal("torch", "hub.load"))), asks + "torch.hub.load;"},
	{"a dotted name", ckpt(pDict(pGlobal("torch", "FloatStorage.__init__"))), asks + "torch.FloatStorage.__init__;"},
	{"NEWOBJ", ckpt(pDict(pGlobal("pathlib", "PosixPath") + ")\x81")), asks + "pathlib.PosixPath;"},
	{"NEWOBJ of a name", ckpt(pDict(pGlobal("pytorch_lightning.callbacks.x", "Y") + ")\x81")),
		asks + "an object of pytorch_lightning.callbacks.x.Y;"},
	{"REDUCE of a name", ckpt(pDict(pGlobal("pytorch_lightning.callbacks.x", "Y") + ")R")),
		asks + "an object of pytorch_lightning.callbacks.x.Y;"},
	{"BUILD of a name", ckpt(pDict(pGlobal("torch", "Tensor") + "}b")), asks + "a changed torch.Tensor;"},
	{"reconstructor", ckpt(pDict(pGlobal("copy_reg", "_reconstructor") + "(" + pGlobal("torch", "Tensor") +
		pGlobal("__builtin__", "object") + "NtR")), asks + "an object of torch.Tensor;"},
	{"BUILD of a tensor", ckpt(pDict(pTensor(float8, 0, []int{8}, []int{1}) + "}" + pText("a") + "NsbN")), "BUILD"},
	{"REDUCE of text", ckpt(pDict(pText("os.system") + ")R")), "REDUCE"},
	{"control characters", ckpt(pDict(pGlobal("\x1b[2J", "\x00"))), asks + `\x1b[2J.\x00;`},
	{"long name", ckpt(pDict(pGlobal(strings.Repeat("a", 4000), "b"))), "aaaa...;"},
	{"extension", ckpt("\x80\x02\x82\x01."), "extension"},

	// Pickles.
	{"empty pickle", ckpt(""), "ends too early"},
	{"no STOP", ckpt("\x80\x02}"), "ends too early"},
	{"protocol 6", ckpt("\x80\x06}."), "protocol"},
	{"unknown opcode", ckpt("\x80\x02\xff."), "unknown opcode 0xff at byte 2"},
	{"empty stack", ckpt("\x80\x02."), "stack is empty"},
	{"huge text", ckpt("\x80\x02X\xff\xff\xff\x7fabc."), "length 2147483647"},
	{"huge bytes", ckpt("\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc."), "length 18446744073709551615"},
	{"huge frame", ckpt("\x80\x04\x95\x00\x00\x00\x00\x00\x01\x00\x00}."), "length 1099511627776"},
	{"huge integer", ckpt("\x80\x02\x8b\xff\xff\xff\x7f\x01."), "length 2147483647"},
	{"long integer", ckpt("\x80\x02\x8b" + le32(300) + strings.Repeat("\x01", 300) + "."), "integer of"},
	{"empty integer", ckpt("\x80\x02\x8a\x00."), "integer of"},
	{"long line", ckpt("\x80\x02I" + strings.Repeat("1", 5000) + "\n."), "no end of the line"},
	{"unhashable key", ckpt("\x80\x02" + pGlobal("collections", "OrderedDict") + ")RC\x01aNs."), "malformed pickle"},
	{"odd SETITEMS", ckpt("\x80\x02}(" + pText("x") + "u."), "malformed pickle"},
	{"many BUILD", ckpt("\x80\x02}" + strings.Repeat("}b", 257) + "."), "more than 256 BUILD"},
	{"persistent text", ckpt("\x80\x02Pos.system\n."), "persistent id"},
	{"persistent number", ckpt("\x80\x02K\x01Q."), "persistent id"},
	{"persistent without class", ckpt("\x80\x02(" + pText("storage") + "NNNNtQ."), "storage without class"},
	{"tensor of nothing", ckpt(pDict(pGlobal("torch._utils", "_rebuild_tensor_v2") + ")R")), "tensor of 0 arguments"},
	{"tensor of None", ckpt(pDict(pGlobal("torch._utils", "_rebuild_tensor_v2") + "(NNNNtR")), "tensor without storage"},
	{"recursive rebuild", ckpt(pDict(pGlobal("torch._tensor", "_rebuild_from_type_v2") + "(" + pGlobal("torch._tensor",
		"_rebuild_from_type_v2") + "N)NtR")), "cannot be rebuilt"},
	{"list", ckpt("\x80\x02]."), "want a dictionary"},
	{"list in itself", ckpt("\x80\x02]q\x00h\x00a."), "want a dictionary"},
	{"dict in itself", ckpt("\x80\x02}q\x00" + pText("state_dict") + "h\x00s."), "no tensors"},
	{"no tensors", ckpt(pDict("N")), "no tensors"},
	{"number as name", ckpt("\x80\x02}K\x01" + pTensor(float8, 0, []int{8}, []int{1}) + "s."), "no tensors"},

	// Shapes.
	{"beyond the storage", ckpt(pDict(pTensor(float8, 0, []int{9}, []int{1}))),
		`tensor "x": shape [9] with stride [1] from element 0 goes beyond its storage of 8`},
	{"offset beyond", ckpt(pDict(pTensor(float8, 5, []int{4}, []int{1}))), "goes beyond"},
	{"offset far beyond", ckpt(pDict(pTensor(float8, 9, []int{0}, []int{1}))), "offset 9 is outside"},
	{"negative offset", ckpt(pDict(pTensor(float8, -1, []int{1}, []int{1}))), "offset -1 is outside"},
	{"negative shape", ckpt(pDict(pTensor(float8, 0, []int{-1}, []int{1}))), "below 0"},
	{"negative stride", ckpt(pDict(pTensor(float8, 7, []int{2}, []int{-1}))), "goes beyond"},
	{"negative stride that overflows", ckpt(pDict(pTensor(float8, 0, []int{3}, []int{math.MinInt}))), "goes beyond"},
	{"stride beyond", ckpt(pDict(pTensor(float8, 0, []int{2, 2}, []int{7, 1}))), "goes beyond"},
	{"stride overflow", ckpt(pDict(pTensor(float8, 0, []int{3}, []int{math.MaxInt}))), "goes beyond"},
	{"sum overflow", ckpt(pDict(pTensor(float8, 0, []int{2, 2, 2}, []int{math.MaxInt, math.MaxInt, 2}))), "goes beyond"},
	{"shape overflow", ckpt(pDict(pTensor(float8, 0, []int{1 << 32, 1 << 32}, []int{0, 0}))), "overflows"},
	{"huge by stride 0", ckpt(pDict(pTensor(float8, 0, []int{1 << 40}, []int{0}))), "more than the file"},
	{"lengths differ", ckpt(pDict(pTensor(float8, 0, []int{2, 2}, []int{1}))), "differ in length"},
	{"many dimensions", ckpt(pDict(pTensor(float8, 0, make([]int, 33), make([]int, 33)))), "tensor without"},
	{"huge storage", ckpt(pDict(pTensor(pStorage("FloatStorage", "0", math.MaxInt), 0, []int{8}, []int{1}))),
		"truncated?"},
	{"negative storage", ckpt(pDict(pTensor(pStorage("FloatStorage", "0", -8), 0, []int{8}, []int{1}))), "-8 elements"},
	{"storage of another size", ckpt(pDict(pTensor(pStorage("FloatStorage", "0", 7), 0, []int{7}, []int{1}))),
		"has 32 bytes, want 28"},
	{"storage of another type", ckpt(pDict(pTensor(pStorage("HalfStorage", "0", 8), 0, []int{8}, []int{1}))),
		"has 32 bytes, want 16"},
	{"storage of two types",
		ckpt(pDict(pTensor(float8, 0, []int{8}, []int{1}) + "s" + pText("y") + pTensor(pStorage("HalfStorage", "0", 16), 0,
			[]int{8}, []int{1}))), "two types"},
	{"no such storage", ckpt(pDict(pTensor(pStorage("FloatStorage", "1", 8), 0, []int{8}, []int{1}))),
		`tensor "x": no entry "a/data/1"`},
	{"storage elsewhere", ckpt(pDict(pTensor(pStorage("FloatStorage", "../data.pkl", 8), 0, []int{8}, []int{1}))),
		`no entry`},
	{"quantized", ckpt(pDict(pTensor(pStorage("QInt8Storage", "0", 32), 0, []int{8}, []int{1}))),
		asks + "torch.QInt8Storage;"},

	// Archives.
	{"only the magic", []byte("PK\x03\x04"), "truncated?"},
	{"another zip", zipOf(zipEntry{name: "word/document.xml", data: "<x/>"}), "0 data.pkl, want 1"},
	{"two pickles", zipOf(zipEntry{name: "a/data.pkl", data: goodX}, zipEntry{name: "b/data.pkl", data: goodX}, storage0),
		"2 data.pkl, want 1"},
	{"the same entry twice", zipOf(zipEntry{name: "a/data.pkl", data: goodX}, storage0, storage0),
		`two entries "a/data/0"`},
	{"torchscript", zipOf(zipEntry{name: "a/data.pkl", data: goodX}, zipEntry{name: "a/constants.pkl"}, storage0),
		"TorchScript"},
	{"big-endian", zipOf(zipEntry{name: "a/data.pkl", data: goodX}, zipEntry{name: "a/byteorder", data: "big"}, storage0),
		`byte order "big", want little`},
	{"deflated pickle", zipOf(zipEntry{"a/data.pkl", goodX, zip.Deflate}, storage0), `"a/data.pkl" is compressed`},
	{"zip bomb", zipOf(zipEntry{name: "a/data.pkl", data: goodX}, zipEntry{"a/data/0", strings.Repeat("\x00", 1<<20),
		zip.Deflate}), `"a/data/0" is compressed`},

	// The legacy format.
	{"any pickle", []byte(goodX), "the magic number is missing"},
	{"another number", []byte("\x80\x02K\x01."), "the magic number is missing"},
	{"only the magic number", legacy("", "", "")[:15], "ends too early"},
	{"version", bytes.Replace(legacy(goodX, keyX, restX), []byte("M\xe9\x03"), []byte("M\xea\x03"), 1), "want 1001"},
	{"big-endian system", bytes.Replace(legacy(goodX, keyX, restX), []byte("\x88s."), []byte("\x89s."), 1), "big-endian"},
	{"no keys", legacy(goodX, "", ""), "ends too early"},
	{"keys are no list", legacy(goodX, "\x80\x02}.", restX), "no list"},
	{"not listed", legacy(goodX, "\x80\x02].", restX), `tensor "x": storage "0" is not in the file`},
	{"listed twice", legacy(goodX, "\x80\x02]("+pText("0")+pText("0")+"e.", restX+restX), "or twice"},
	{"listed without use", legacy(goodX, "\x80\x02]("+pText("0")+pText("1")+"e.", restX+restX),
		`storage "1" is listed but not used`},
	{"size differs", legacy(goodX, keyX, "\x09"+restX[1:]+"abcd"), `storage "0" has 9 elements, want 8`},
	{"no bytes", legacy(goodX, keyX, ""), "beyond the end"},
	{"too few bytes", legacy(goodX, keyX, restX[:39]), "has 32 bytes, but only 31 follow"},
	{"view of a storage", legacy(pDict(pTensor(strings.Replace(float8, "tQ", pInts(1)+"tQ", 1), 0, []int{8}, []int{1})),
		keyX, restX), "view of another"},
}

func TestBadCheckpoints(t *testing.T) {
	dir := t.TempDir()
	for _, c := range badCheckpoints {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, "bad.ckpt")
			require.NoError(t, os.WriteFile(path, c.data, 0o600))
			_, err := weights.Open(path)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, path+": ")
			require.Less(t, len(err.Error()), 600)
		})
	}
}

// Small pickles that ask for much memory, one byte at a time.
func TestCheckpointMemory(t *testing.T) {
	ordered := "\x80\x02" + pGlobal("collections", "OrderedDict") + "q\x00"
	for _, c := range []struct{ name, begin, part, end string }{
		{"marks", "\x80\x02", "(", "."},
		{"tuples", "\x80\x02", "(t", "."},
		{"lists", "\x80\x02", "]", "."},
		{"dicts", "\x80\x02", "}", "."},
		{"sets", "\x80\x04", "\x8f", "."},
		{"ordered dicts", ordered, "h\x00)R", "."},
		{"ordered dicts of one", ordered, "h\x00)RNNs", "."},
		{"memo", "\x80\x04N", "\x94", "."},
		{"duplicates", "\x80\x02N", "2", "."},
		{"integers", "\x80\x02", "\x8a\x09123456789", "."},
		{"frames", "\x80\x04", "\x95\x00\x00\x00\x00\x00\x00\x00\x00", "."},
		{"keys", "\x80\x02}(", "K\x01N", "u."},
		{"texts", "\x80\x02", "U\x00", "."},
	} {
		for _, n := range []int{20_000, 400_000} {
			var before, after runtime.MemStats
			data := ckpt(c.begin + strings.Repeat(c.part, n/len(c.part)) + c.end)
			runtime.ReadMemStats(&before)
			_, err := weights.Parse(data)
			runtime.ReadMemStats(&after)
			require.Error(t, err, c.name)
			require.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(110), "MiB, %s, %d bytes", c.name, n)
		}
	}
}

// readAll reads what a fuzzer got accepted.
func readAll(t *testing.T, data []byte) {
	f, err := weights.Parse(data)
	if err != nil {
		require.Contains(t, err.Error(), " data: ") // names the file
		return
	}
	for i, name := range f.Names() {
		info, ok := f.Info(name)
		require.True(t, ok)
		if info.Elems() > 1<<16 || i > 100 {
			continue // allowed, but slow
		}
		values, err := f.Float32(name)
		if info.DType.Size() == 0 {
			require.ErrorContains(t, err, "dtype")
			continue
		}
		require.NoError(t, err)
		require.Len(t, values, info.Elems())
	}
}

// FuzzCheckpoint: no file makes the reader panic, and what it accepts can be
// read.
func FuzzCheckpoint(f *testing.F) {
	files, err := filepath.Glob(checkpoints + "*.[cpb]*")
	require.NoError(f, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(data)
	}
	for _, c := range badCheckpoints {
		f.Add(c.data)
	}
	f.Add(ckpt(goodX))
	f.Add(legacy(goodX, keyX, restX))
	f.Fuzz(readAll)
}

// FuzzPickle: the same for the pickle in a valid archive.
func FuzzPickle(f *testing.F) {
	add := func(data []byte) {
		archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, e := range archive.File {
			if !strings.HasSuffix(e.Name, "/data.pkl") || e.Method != zip.Store {
				continue
			}
			begin, err := e.DataOffset()
			require.NoError(f, err)
			f.Add(data[begin : begin+int64(e.UncompressedSize64)])
		}
	}
	files, err := filepath.Glob(checkpoints + "*.p*")
	require.NoError(f, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		add(data)
	}
	for _, c := range badCheckpoints {
		add(c.data)
	}
	add(ckpt(goodX))
	f.Fuzz(func(t *testing.T, pickle []byte) { readAll(t, ckpt(string(pickle))) })
}
