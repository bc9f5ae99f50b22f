//go:build ignore

package main

import "math"

// constants are those of the vector kernels: the parts of ln 2, the polynomial
// for e^x (e2..e6) and those for the normal distribution's tail (p0..p4, q1..q5) are
// explained in vec_table.go, where they are used.
var constants = map[string]float64{
	"zero": 0, "one": 1, "minusHalf": -0.5, "sign": math.Copysign(0, -1), "minusInf": math.Inf(-1),
	"two": 2, "minusTwo": -2, "magic": 1.5 * (1 << 23), "tanhHi": 10,
	"expHi": 89, "expLo": -104.5, "actHi": 87, "actLo": -87, "normHi": 13,
	"log2e": math.Log2E, "ln2hi": float64(float32(math.Ln2)), "ln2lo": math.Ln2 - float64(float32(math.Ln2)),
	"e2": 0.4999999450724016, "e3": 0.16666521492404726, "e4": 0.04166820396515352, "e5": 0.008368683015256015,
	"e6":    0.0013822788940314108,
	"quick": 1.702, "minusQuick": -1.702, "quickLo": -87 / 1.702, "rsqrt2pi": 1 / math.Sqrt(2*math.Pi),
	"p0": 0.5000000024468819, "p1": 0.43545238962155974, "p2": 0.18113445531669034, "p3": 0.03992633871874794,
	"p4": 0.004011665068185866,
	"q1": 1.6687896931103967, "q2": 1.1937663605232236, "q3": 0.46392560805341293, "q4": 0.1000879590705307,
	"q5": 0.010055607605860105,
}

// integers are constants given as bits.
var integers = map[string]uint32{"i1": 1, "i7fff": 0x7fff, "i40": 0x40, "quiet": 0x400000}
