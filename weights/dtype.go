package weights

// DType is an element type, spelled as in a safetensors header.
type DType string

// The element types that are read. All are little-endian.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	E4M3 DType = "F8_E4M3" // a sign, 4 bits of exponent, 3 of mantissa, no infinity (e4m3fn)
	E5M2 DType = "F8_E5M2" // the upper byte of an F16
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL" // one byte, 0 or 1
)

// Size is the number of bytes of one element, 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16, I16:
		return 2
	case I8, U8, Bool, E4M3, E5M2:
		return 1
	}
	return 0
}
