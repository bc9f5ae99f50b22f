package asm

//go:generate go run gen/ceiling.go

// ceiling is one tier's loop of multiply-adds that touch registers only: what
// [MulAdds] runs.
type ceiling struct {
	loop func(rounds int) // rounds is at least 1
	flop float64          // operations of a round
}

// MulAdds runs rounds (at least 1) of a loop that does nothing but multiply and add in
// registers with the widest instruction of tier t, and returns the number of operations,
// two for a multiply-add: the rate that kernels are measured by. With pairs the factors are
// bfloat16; a tier without such products then uses float32, as the matrix products do.
// A round takes about 15 clock cycles, on tiles 64. It does not matter which tier is in use.
func MulAdds(t Tier, pairs bool, rounds int) float64 {
	c := ceilings[t]
	if pairs && MultipliesPairs(t) {
		c = pairCeilings[t]
	}
	c.loop(rounds)
	return c.flop * float64(rounds)
}

// MultipliesPairs tells whether tier t has an instruction for products of bfloat16.
func MultipliesPairs(t Tier) bool { return pairCeilings[t].loop != nil }

// genericCeiling is the loop in plain Go: twelve independent sums.
var genericCeiling = ceiling{loop: func(rounds int) {
	if mulAddsGeneric(rounds) < 0 {
		panic("asm: a sum of positive numbers is negative")
	}
}, flop: 24}

//go:noinline
func mulAddsGeneric(rounds int) float32 { // the result keeps the loop from being left out
	const x, y = 0x1p-20, 1
	var a, b, c, d, e, f, g, h, i, j, k, l float32
	for range rounds {
		a, b, c, d, e, f = a*x+y, b*x+y, c*x+y, d*x+y, e*x+y, f*x+y
		g, h, i, j, k, l = g*x+y, h*x+y, i*x+y, j*x+y, k*x+y, l*x+y
	}
	return a + b + c + d + e + f + g + h + i + j + k + l
}
