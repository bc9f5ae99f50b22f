//go:build ignore

package main

import "math"

// constants are those of the vector kernels: the parts of ln 2, the polynomial
// for e^x (e2..e6) and that for the normal distribution's tail (m0..m8) are
// explained in vec.go, where they are used.
var constants = map[string]float64{
	"zero": 0, "one": 1, "minusHalf": -0.5, "sign": math.Copysign(0, -1), "minusInf": math.Inf(-1),
	"expHi": 89, "expLo": -104.5, "actHi": 87, "actLo": -87, "normHi": 13,
	"log2e": math.Log2E, "ln2hi": float64(float32(math.Ln2)), "ln2lo": math.Ln2 - float64(float32(math.Ln2)),
	"e2": 0.4999999450724016, "e3": 0.16666521492404726, "e4": 0.04166820396515352, "e5": 0.008368683015256015, "e6": 0.0013822788940314108,
	"quick": 1.702, "minusQuick": -1.702, "quickLo": -87 / 1.702, "rsqrt2pi": 1 / math.Sqrt(2*math.Pi),
	"millsP": 0.27, "m0": 0.10772051009260733, "m1": 0.10754515859720287, "m2": 0.10179360278162324,
	"m3": 0.07212621238274908, "m4": 0.10760865481658947, "m5": -0.06882920043569561,
	"m6": 0.16938594869175527, "m7": -0.12625785707519882, "m8": 0.028906980500224198,
}

// integers are constants given as bits.
var integers = map[string]uint32{"i1": 1, "i7fff": 0x7fff, "i40": 0x40, "quiet": 0x400000}
