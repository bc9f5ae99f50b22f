package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// Limits on a checkpoint's pickles. That of Stable Diffusion 1.5 with its EMA
// copy is under 1 MB and has a cost of 12 MB.
const (
	maxPickle     = 64 << 20  // bytes
	maxPickleCost = 100 << 20 // bytes of memory, from above: see checkPickle
	maxPickleLine = 4096      // bytes of a text argument
	maxBuilds     = 256       // BUILD copies a whole dictionary
)

// unpickler reads the pickles of one checkpoint. The opcodes are run by
// gopickle, which runs no code: a name in a pickle (opcodes GLOBAL,
// STACK_GLOBAL, INST) becomes whatever findClass gives for it, and only the
// values below do anything when they are called. What gopickle itself knows,
// collections.OrderedDict and copy_reg._reconstructor of __builtin__.object,
// makes empty containers and calls back into these.
type unpickler struct {
	fileLen  int
	cost     int // of all pickles so far
	storages map[string]*storage
}

// storage is a piece of the file that tensors look into.
type storage struct {
	key   string
	dtype DType // "" for untyped bytes
	elems int
	item  int // bytes of one element
	begin int // in the file; -1 until it is found there
}

// tensor is a view of a storage; offset and stride count elements of dtype.
type tensor struct {
	storage       *storage
	dtype         DType
	offset        int
	shape, stride []int
}

// load reads the pickle that data begins with. rest is what follows it.
func (u *unpickler) load(data []byte) (value any, rest []byte, err error) {
	n, cost, err := checkPickle(data)
	if err != nil {
		return nil, nil, err
	}
	if u.cost += cost; u.cost > maxPickleCost {
		return nil, nil, fmt.Errorf("the pickle needs more than %d MiB of memory", maxPickleCost>>20)
	}
	// gopickle checks no index and no map key.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed pickle: %s", printable(fmt.Sprint(r)))
		}
	}()
	p := pickle.NewUnpickler(bytes.NewReader(data[:n]))
	p.FindClass = findClass
	p.PersistentLoad = u.storage
	value, err = p.Load()
	var refused refusal
	if err != nil && !errors.As(err, &refused) {
		err = errors.New("pickle: " + printable(err.Error()))
	}
	return value, data[n:], err
}

// pickleArgs is the form of the argument of each opcode, as Python's
// pickletools lists them: so many bytes, or one of the kinds below.
var pickleArgs = func() (args [256]int8) {
	for i := range args {
		args[i] = unknownOpcode
	}
	for kind, opcodes := range map[int8]string{
		0:          "(.012NQR)]abdelost}u\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98",
		1:          "Khq\x80\x82",
		2:          "M\x83",
		4:          "Jjr\x84",
		8:          "G",
		oneLine:    "FILPSVgp",
		twoLines:   "ci",
		length1:    "CU\x8a\x8c",
		length4:    "BTX\x8b",
		length8:    "\x8d\x8e\x96",
		frameOfLen: "\x95",
	} {
		for i := range len(opcodes) {
			args[opcodes[i]] = kind
		}
	}
	return args
}()

const (
	unknownOpcode = -1 - iota
	oneLine       // text up to a newline
	twoLines      // module and name
	length1       // 1, 4 or 8 bytes that say how many follow
	length4
	length8
	frameOfLen // 8 bytes: how many of the opcodes to come are one frame
)

// checkPickle walks over the opcodes of the pickle that data begins with,
// without running them, so that gopickle can be trusted with it: every length
// lies within the pickle (gopickle allocates first and reads then), and cost is
// at least the memory that the values take. n is the size of the pickle.
func checkPickle(data []byte) (n, cost int, err error) {
	data = data[:min(len(data), maxPickle)]
	builds := 0
	for at := 0; at < len(data); {
		op := data[at]
		at++
		rest := data[at:]
		size := uint64(0)
		switch kind := pickleArgs[op]; kind {
		case unknownOpcode:
			return 0, 0, fmt.Errorf("pickle: unknown opcode 0x%02x at byte %d", op, at-1)
		case oneLine, twoLines:
			for range oneLine - kind + 1 {
				i := bytes.IndexByte(rest[size:min(len(rest), int(size)+maxPickleLine)], '\n')
				if i < 0 {
					return 0, 0, fmt.Errorf("pickle: no end of the line at byte %d", at)
				}
				size += uint64(i) + 1
			}
		case length1, length4, length8, frameOfLen:
			width := map[int8]int{length1: 1, length4: 4, length8: 8, frameOfLen: 8}[kind]
			if len(rest) < width {
				return 0, 0, errPickleEnd
			}
			var b [8]byte
			copy(b[:], rest[:width])
			size = binary.LittleEndian.Uint64(b[:])
			if size > uint64(len(rest)-width) {
				return 0, 0, fmt.Errorf("pickle: length %d at byte %d, but only %d bytes follow", size, at, len(rest)-width)
			}
			if kind == frameOfLen {
				cost += int(size)
				size = 0
			}
			size += uint64(width)
		default:
			size = uint64(kind)
			if size > uint64(len(rest)) {
				return 0, 0, errPickleEnd
			}
		}
		at += int(size)
		cost += 128 + 2*int(size) // a place on the stack or in the memo, and the value
		switch op {
		case '(':
			cost += 256 // a new stack
		case '}', ']', ')', 't', 'l', 'd':
			cost += 128
		case 'R', 's', '\x81', '\x8f', '\x91': // an OrderedDict, an entry, a set
			cost += 512
		case '\x8a', '\x8b':
			if size > 256 || rest[size-1] == 0 && size == 1 {
				return 0, 0, fmt.Errorf("pickle: integer of %d bytes at byte %d", size, at)
			}
		case 'b':
			if builds++; builds > maxBuilds {
				return 0, 0, fmt.Errorf("pickle: more than %d BUILD opcodes", maxBuilds)
			}
		case '.':
			return at, cost, nil
		}
	}
	if len(data) == maxPickle {
		return 0, 0, fmt.Errorf("pickle of more than %d MiB", maxPickle>>20)
	}
	return 0, 0, errPickleEnd
}

var errPickleEnd = errors.New("the pickle ends too early (file truncated?)")

// refusal is the error for a name that is not on the allow-list.
type refusal struct{ what string }

func (r refusal) Error() string {
	return "refused: the pickle asks for " + printable(r.what) + "; only tensors and plain containers are read"
}

// printable makes text from a file fit for a message.
func printable(s string) string {
	const limit = 200
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// findClass is the allow-list.
func findClass(module, name string) (any, error) {
	full := module + "." + name
	if v, ok := allowed[full]; ok {
		return v, nil
	}
	for _, m := range []string{"torch", "torch.cuda"} {
		if dtype, ok := storageTypes[name]; ok && module == m {
			return &storageClass{dtype}, nil
		}
	}
	if dtype, ok := tensorTypes[name]; ok && module == "torch" {
		return &dtypeValue{dtype}, nil
	}
	for _, prefix := range []string{"pytorch_lightning.callbacks.", "lightning.pytorch.callbacks."} {
		if strings.HasPrefix(module, prefix) {
			return &className{full}, nil
		}
	}
	return nil, refusal{full}
}

// allowed are the names that stand for something in a checkpoint, next to
// those of storages and types. It follows the list of torch.load with
// weights_only, with NumPy's scalars and arrays as training loops store them.
var allowed = map[string]any{
	"torch._utils._rebuild_tensor":               &callable{build: rebuildTensor},
	"torch._utils._rebuild_tensor_v2":            &callable{build: rebuildTensor},
	"torch._utils._rebuild_tensor_v3":            &callable{build: rebuildTensorV3},
	"torch._utils._rebuild_parameter":            &callable{build: firstArg},
	"torch._utils._rebuild_parameter_with_state": &callable{build: firstArg},
	"torch._tensor._rebuild_from_type_v2":        &callable{build: rebuildFromType, nests: true},
	"torch.Size":                                 &callable{build: firstArg},
	"torch.storage.UntypedStorage":               &storageClass{""},

	"torch.Tensor":                 &className{"torch.Tensor"},
	"torch.nn.parameter.Parameter": &className{"torch.nn.parameter.Parameter"},

	// What these make is passed over.
	"torch.device": skipped,
	"torch.nn.modules.container.ParameterDict": skipped,
	"numpy.dtype":                         skipped,
	"numpy.ndarray":                       skipped,
	"numpy.core.multiarray.scalar":        skipped,
	"numpy._core.multiarray.scalar":       skipped,
	"numpy.core.multiarray._reconstruct":  skipped,
	"numpy._core.multiarray._reconstruct": skipped,
	"_codecs.encode":                      skipped,
	"collections.Counter":                 skipped,
	"collections.defaultdict":             skipped,
	"__builtin__.set":                     skipped,
	"builtins.set":                        skipped,
	"__builtin__.bytearray":               skipped,
	"builtins.bytearray":                  skipped,
	"__builtin__.complex":                 skipped,
	"builtins.complex":                    skipped,
}

// storageTypes maps the storage classes of torch and torch.cuda.
var storageTypes = map[string]DType{
	"DoubleStorage": F64, "FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16,
	"LongStorage": I64, "IntStorage": I32, "ShortStorage": I16, "CharStorage": I8,
	"ByteStorage": U8, "BoolStorage": Bool,
	"ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128",
}

// tensorTypes maps the dtypes of torch, spelled as safetensors does.
var tensorTypes = map[string]DType{
	"float64": F64, "float32": F32, "float16": F16, "bfloat16": BF16,
	"int64": I64, "int32": I32, "int16": I16, "int8": I8, "uint8": U8, "bool": Bool,
	"uint64": "U64", "uint32": "U32", "uint16": "U16", "complex64": "C64", "complex128": "C128",
	"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}

// itemSize is DType.Size for the above, those that cannot be converted too.
func itemSize(d DType) int {
	switch d {
	case "C128":
		return 16
	case "U64", "C64":
		return 8
	case "U32":
		return 4
	case "U16":
		return 2
	case "F8_E4M3", "F8_E5M2", "":
		return 1
	}
	return d.Size()
}

type (
	storageClass struct{ dtype DType }
	dtypeValue   struct{ dtype DType }

	// callable is a function that rebuilds something out of its arguments.
	callable struct {
		build func(args []any) (any, error)
		nests bool // calls another one
	}

	// className is a class that may be named, as a key for example, but not made.
	className struct{ name string }

	// skippedValue is a class, and any object of it: nothing is kept.
	skippedValue struct{ _ byte }
)

var skipped = &skippedValue{}

func (c *callable) Call(args ...any) (any, error) { return c.build(args) }

func (c *className) Call(...any) (any, error)  { return nil, refusal{"an object of " + c.name} }
func (c *className) PyNew(...any) (any, error) { return c.Call() }
func (c *className) PySetState(any) error      { return refusal{"a changed " + c.name} }

func (v *skippedValue) Call(...any) (any, error)  { return v, nil }
func (v *skippedValue) PyNew(...any) (any, error) { return v, nil }
func (v *skippedValue) PySetState(any) error      { return nil }
func (v *skippedValue) Set(_, _ any)              {}
func (v *skippedValue) Append(any)                {}

// storage answers a persistent id: ("storage", class, key, location, elements),
// and in the legacy format a sixth item, None.
func (u *unpickler) storage(id any) (any, error) {
	t, ok := id.(*types.Tuple)
	if !ok || t.Len() < 5 || t.Len() > 6 || t.Get(0) != "storage" {
		return nil, errors.New("persistent id that is not a storage")
	}
	class, ok1 := t.Get(1).(*storageClass)
	key, ok2 := t.Get(2).(string)
	elems, ok3 := t.Get(4).(int)
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("storage without class, key or size")
	}
	if t.Len() == 6 && t.Get(5) != nil {
		return nil, fmt.Errorf("storage %q is a view of another (written by a PyTorch before 0.4)", key)
	}
	if elems < 0 || elems > u.fileLen {
		return nil, fmt.Errorf("storage %q of %d elements in a file of %d bytes (truncated?)", key, elems, u.fileLen)
	}
	s := &storage{key: key, dtype: class.dtype, elems: elems, item: itemSize(class.dtype), begin: -1}
	if old := u.storages[key]; old != nil {
		if *old != *s {
			return nil, fmt.Errorf("storage %q has two types or sizes", key)
		}
		return old, nil
	}
	u.storages[key] = s
	return s, nil
}

// rebuildTensor takes (storage, offset, shape, stride, requires_grad, hooks,
// metadata); older ones lack the end.
func rebuildTensor(args []any) (any, error) {
	if len(args) < 4 || len(args) > 7 {
		return nil, fmt.Errorf("tensor of %d arguments", len(args))
	}
	if len(args) == 7 && args[6] != nil {
		return nil, errors.New("tensor that is a conjugate or negative view")
	}
	s, ok1 := args[0].(*storage)
	offset, ok2 := args[1].(int)
	shape, ok3 := ints(args[2])
	stride, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, errors.New("tensor without storage, offset, shape or stride")
	}
	return &tensor{storage: s, dtype: s.dtype, offset: offset, shape: shape, stride: stride}, nil
}

// rebuildTensorV3 has the dtype before the metadata; its storage is untyped.
func rebuildTensorV3(args []any) (any, error) {
	if len(args) < 7 || len(args) > 8 || len(args) == 8 && args[7] != nil {
		return nil, fmt.Errorf("tensor (v3) of %d arguments", len(args))
	}
	dtype, ok := args[6].(*dtypeValue)
	if !ok {
		return nil, errors.New("tensor (v3) without dtype")
	}
	v, err := rebuildTensor(args[:6])
	if err == nil {
		v.(*tensor).dtype = dtype.dtype
	}
	return v, err
}

// rebuildFromType takes (function, class, arguments, attributes): a tensor with
// attributes of Python.
func rebuildFromType(args []any) (any, error) {
	if len(args) == 4 {
		f, ok1 := args[0].(*callable)
		inner, ok2 := args[2].(*types.Tuple)
		if ok1 && ok2 && !f.nests {
			return f.build(*inner)
		}
	}
	return nil, errors.New("tensor with attributes that cannot be rebuilt")
}

func firstArg(args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("call without arguments")
	}
	return args[0], nil
}

// ints turns a tuple of integers into a list of at most 32.
func ints(v any) ([]int, bool) {
	t, ok := v.(*types.Tuple)
	if !ok || t.Len() > 32 {
		return nil, false
	}
	list := make([]int, t.Len())
	for i := range list {
		if list[i], ok = t.Get(i).(int); !ok {
			return nil, false
		}
	}
	return list, true
}
