package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"psld/asm"
)

// Float32 is a copy of the named tensor as float32, row-major. F16, BF16
// and float8 are widened exactly; F64 and wide integers are rounded to nearest; BOOL
// gives 0 and 1.
func (f *File) Float32(name string) ([]float32, error) {
	b, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	t := f.tensors[name]
	out := make([]float32, t.Elems())
	decode(out, t.DType, b)
	return out, nil
}

// littleEndian tells whether this machine's numbers lie in memory as a file's.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// decode fills out with the elements b of type d.
func decode(out []float32, d DType, b []byte) {
	le := binary.LittleEndian
	switch d {
	case F32:
		if littleEndian && len(out) > 0 {
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&out[0])), 4*len(out)), b)
			return
		}
		for i := range out {
			out[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		}
	case F16:
		widen(out, b, asm.F16ToF32)
	case BF16:
		widen(out, b, asm.BF16ToF32)
	case E4M3, E5M2:
		table := &float8[0]
		if d == E5M2 {
			table = &float8[1]
		}
		for i := range out {
			out[i] = table[b[i]]
		}
	case F64:
		for i := range out {
			out[i] = float32(math.Float64frombits(le.Uint64(b[8*i:])))
		}
	default:
		for i, v := range integers(d, b) {
			out[i] = float32(v)
		}
	}
}

// float8 are the values of all bytes as E4M3 and as E5M2.
var float8 = [2][256]float32{float8Table(3, 7), float8Table(2, 15)}

// float8Table makes the values of bytes of a sign, 7-mantissa bits of exponent with this bias, and the mantissa. The
// largest exponent is that of NaN and infinities with 5 bits of exponent; with 4, all its numbers count but the last,
// which is NaN.
func float8Table(mantissa, bias int) (t [256]float32) {
	for b := range t {
		exp, frac, top := b>>mantissa&(1<<(7-mantissa)-1), b&(1<<mantissa-1), 1<<(7-mantissa)-1
		var v float64
		switch {
		case exp == 0:
			v = math.Ldexp(float64(frac), 1-bias-mantissa)
		case exp == top && mantissa == 2 && frac == 0:
			v = math.Inf(1)
		case exp == top && (mantissa == 2 || frac == 7):
			v = math.NaN()
		default:
			v = math.Ldexp(float64(1<<mantissa+frac), exp-bias-mantissa)
		}
		if b >= 128 {
			v = -v
		}
		t[b] = float32(v)
	}
	return t
}

// widen converts 2-byte elements: where they lie, or by way of a buffer when b
// begins at an odd address.
func widen(out []float32, b []byte, convert func(dst []float32, src []uint16)) {
	if littleEndian && len(out) > 0 && uintptr(unsafe.Pointer(&b[0]))%2 == 0 {
		convert(out, unsafe.Slice((*uint16)(unsafe.Pointer(&b[0])), len(out)))
		return
	}
	var buf [4096]uint16
	for len(out) > 0 {
		n := min(len(out), len(buf))
		for i := range n {
			buf[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		convert(out[:n], buf[:n])
		out, b = out[n:], b[2*n:]
	}
}

// Float64 is a copy of the named F64 or F32 tensor as float64.
func (f *File) Float64(name string) ([]float64, error) {
	b, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	t := f.tensors[name]
	out := make([]float64, t.Elems())
	switch t.DType {
	case F64:
		for i := range out {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case F32:
		for i := range out {
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		}
	default:
		return nil, fmt.Errorf("%s: tensor %q: dtype %s, want F64 or F32", f.name, name, t.DType)
	}
	return out, nil
}

// Int64 is a copy of the named integer or BOOL tensor as int64.
func (f *File) Int64(name string) ([]int64, error) {
	b, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	t := f.tensors[name]
	switch t.DType {
	case F64, F32, F16, BF16, E4M3, E5M2:
		return nil, fmt.Errorf("%s: tensor %q: dtype %s, want integers", f.name, name, t.DType)
	}
	return integers(t.DType, b), nil
}

// integers reads all of b as elements of an integer type d.
func integers(d DType, b []byte) []int64 {
	le := binary.LittleEndian
	out := make([]int64, len(b)/d.Size())
	switch d {
	case I64:
		for i := range out {
			out[i] = int64(le.Uint64(b[8*i:]))
		}
	case I32:
		for i := range out {
			out[i] = int64(int32(le.Uint32(b[4*i:])))
		}
	case I16:
		for i := range out {
			out[i] = int64(int16(le.Uint16(b[2*i:])))
		}
	case I8:
		for i := range out {
			out[i] = int64(int8(b[i]))
		}
	case U8:
		for i := range out {
			out[i] = int64(b[i])
		}
	case Bool:
		for i := range out {
			if b[i] != 0 {
				out[i] = 1
			}
		}
	}
	return out
}
