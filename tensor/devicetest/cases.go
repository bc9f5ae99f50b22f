package devicetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"psld/autograd"
	"psld/tensor"
)

type (
	graph  = *autograd.Graph
	values = []*autograd.Value
)

// Check is the list of small cases for the comparisons: every operation, with sizes
// that leave tails in every blocking of the kernels.
func Check() []Case {
	list := slices.Concat(convCases(), linearCases(), epilogueCases(), normCases(), attentionCases(), elementwiseCases(),
		shapeCases(), sparseCases(), reduceCases())
	for i := range list {
		if list[i].Tolerance == 0 {
			list[i].Tolerance = 5e-6
		}
	}
	return list
}

// Bench is the list of cases for timing: shapes of SD 1.5 at 512 x 512 (latent
// 64 x 64) and of the small embedded model.
func Bench() []Case {
	var list []Case
	add := func(where string, c Case) {
		c.Name += "/" + where
		list = append(list, c)
	}
	same, down := tensor.SameConv(3), tensor.Conv{KH: 3, KW: 3, Stride: 2, PadTop: 1, PadLeft: 1, PadBottom: 1,
		PadRight: 1}
	up := same
	up.Upsample = true
	add("sd15-unet-in", conv(1, 64, 64, 4, 320, same))
	add("sd15-unet", conv(1, 64, 64, 320, 320, same))
	add("sd15-unet", conv(1, 32, 32, 640, 640, same))
	add("sd15-unet", conv(1, 16, 16, 1280, 1280, same))
	add("sd15-unet", conv(1, 8, 8, 1280, 1280, same))
	add("sd15-unet-down", conv(1, 64, 64, 320, 320, down))
	add("sd15-unet-up", conv(1, 32, 32, 640, 640, up))
	add("sd15-vae", conv(1, 256, 256, 128, 128, same))
	add("sd15-vae-out", conv(1, 256, 256, 128, 3, same))
	add("embedded", conv(16, 32, 32, 64, 64, same))
	add("embedded", conv(16, 64, 64, 32, 32, same))
	add("embedded", conv(16, 16, 16, 96, 96, same))
	add("embedded", conv(16, 8, 8, 192, 192, same))
	add("sd15-proj", linearOp(320, 320, 1, 4096))
	add("sd15-ff", linearOp(1280, 320, 1, 4096))
	add("sd15-time", linearOp(320, 1280, 1))
	add("odd-rows", linearOp(320, 320, 1, 4099))
	add("sd15-self", attend(1, 4096, 4096, 8, 40, false))
	add("sd15-self", attend(1, 1024, 1024, 8, 80, false))
	add("sd15-self", attend(1, 256, 256, 8, 160, false))
	add("sd15-cross", attend(1, 4096, 77, 8, 40, false))
	add("sd15-vae", attend(1, 4096, 4096, 1, 512, false))
	add("sd15-text", attend(1, 77, 77, 12, 64, true))
	add("embedded", attend(16, 256, 256, 4, 32, false))
	add("sd15", groupNormOp(true, 32, 1e-5, 1, 64, 64, 320))
	add("sd15-vae", groupNormOp(true, 32, 1e-6, 1, 256, 256, 128))
	add("embedded", groupNormOp(true, 16, 1e-5, 16, 32, 32, 64))
	add("sd15", layerNormOp(1e-5, 1, 4096, 320))
	add("sd15", gegluOp(1, 4096, 2560))
	add("sd15", siluOp(1, 64, 64, 320))
	add("sd15", softmaxOp(8, 256, 4096))
	return list
}

func convCases() []Case {
	var list []Case
	// Every channel count on both sides of the widths of the kernels, odd and non-square pictures.
	channels := []int{1, 3, 4, 5, 17, 32, 33, 48, 64, 100}
	for i, ci := range channels {
		co := channels[(i*3+1)%len(channels)]
		n := 1 + i%3
		list = append(list,
			conv(n, 5+i%2, 7, ci, co, tensor.SameConv(3)),
			conv(n, 3, 5+i, co, ci, tensor.Conv{KH: 1, KW: 1, Stride: 1}))
	}
	pad := func(k, stride, top, left, bottom, right int, up bool) tensor.Conv {
		return tensor.Conv{KH: k, KW: k, Stride: stride, PadTop: top, PadLeft: left, PadBottom: bottom,
			PadRight: right, Upsample: up}
	}
	geometries := []tensor.Conv{
		pad(3, 1, 1, 1, 1, 1, true),
		pad(3, 2, 1, 1, 1, 1, false),
		pad(3, 2, 0, 0, 1, 1, false), // the VAE's
		pad(3, 2, 0, 0, 0, 0, false), // pixels at the edge that no window sees
		pad(3, 3, 1, 0, 0, 2, false),
		pad(3, 2, 1, 1, 1, 1, true),
		pad(1, 1, 0, 0, 0, 0, true),
		pad(1, 2, 0, 0, 0, 0, false),
		pad(2, 2, 0, 0, 0, 0, false),
		pad(2, 1, 1, 0, 0, 1, false),
		pad(4, 2, 1, 1, 1, 1, false),
		pad(5, 1, 2, 2, 2, 2, false),
		pad(5, 4, 4, 3, 2, 1, false),
		pad(7, 1, 3, 3, 3, 3, false),
		{KH: 1, KW: 3, Stride: 1, PadLeft: 1, PadRight: 1},
		{KH: 3, KW: 1, Stride: 1, PadTop: 1, PadBottom: 1},
		{KH: 2, KW: 5, Stride: 2, PadTop: 1, PadLeft: 2, PadBottom: 0, PadRight: 4},
	}
	for i, p := range geometries {
		list = append(list, conv(1+i%3, 9, 6, 3, 5, p), conv(1, 8, 11, 17, 33, p))
	}
	// Pictures of one pixel and of one row or column.
	for _, s := range [][2]int{{1, 1}, {1, 9}, {9, 1}, {2, 2}} {
		list = append(list, conv(2, s[0], s[1], 5, 17, tensor.SameConv(3)), conv(3, s[0], s[1], 33, 4, geometries[0]),
			conv(2, s[0], s[1], 4, 33, geometries[1]), conv(1, s[0], s[1], 3, 3, tensor.Conv{KH: 1, KW: 1, Stride: 1}))
	}
	// Pictures large enough to be cut in several tasks and groups.
	list = append(list, conv(1, 40, 41, 3, 4, tensor.SameConv(3)), conv(3, 23, 150, 4, 3, geometries[2]),
		conv(1, 31, 67, 5, 3, tensor.Conv{KH: 1, KW: 1, Stride: 1}), conv(1, 2, 600, 40, 2, geometries[0]))
	for i := range list {
		if i%4 == 3 { // without a bias
			c := &list[i]
			c.Args = c.Args[:2]
			c.Name += "_nobias"
		}
	}
	return list
}

// conv is a case of Conv2d on x[n,h,w,ci] with a weight [co,ci,KH,KW] and a bias.
func conv(n, h, w, ci, co int, p tensor.Conv) Case {
	oh, ow := p.Out(h, w)
	name := fmt.Sprintf("Conv2d/%dx%dx%d_%d_%d_k%dx%ds%dp%d%d%d%d", n, h, w, ci, co, p.KH, p.KW, p.Stride, p.PadTop,
		p.PadLeft, p.PadBottom, p.PadRight)
	if p.Upsample {
		name += "_up"
	}
	return Case{
		Op: "Conv2d", Name: name, Product: true, Linear: []int{0, 1},
		Args:  []Arg{{Shape: []int{n, h, w, ci}}, weight(co, ci, p.KH, p.KW), weight(co)},
		Flops: 2 * float64(n*oh*ow*co) * float64(ci*p.KH*p.KW),
		Run: func(g graph, x values) *autograd.Value {
			return g.Conv2d(x[0], x[1], at(x, 2), p)
		},
		Reference: func(x []Array) Array { return conv2d(x[0], x[1], bias(x), p) },
	}
}

// weight is a factor of products, or, with one side, the bias after them.
func weight(shape ...int) Arg { return Arg{Shape: shape, Param: true, Matrix: len(shape) > 1} }

// at and bias are the optional last argument.
func at(x values, i int) *autograd.Value {
	if i < len(x) {
		return x[i]
	}
	return nil
}

func bias(x []Array) Array {
	if len(x) > 2 {
		return x[2]
	}
	return Array{}
}

func linearCases() []Case {
	list := []Case{linearOp(1, 1, 1), linearOp(7, 5, 3, 4, 2), linearOp(33, 100, 17), linearOp(100, 64, 2, 29),
		linearOp(64, 48, 1, 1, 1),
		linearOp(3, 31, 257), linearOp(17, 5, 3, 1, 211), linearOp(16, 130, 14), linearOp(1, 8, 2500)}
	noBias := linearOp(32, 33, 15)
	noBias.Args = noBias.Args[:2]
	noBias.Name += "_nobias"
	return append(list, noBias)
}

// linearOp is a case of Linear on x[rows...,i] with a weight [o,i] and a bias.
func linearOp(o, i int, rows ...int) Case {
	return Case{
		Op: "Linear", Name: fmt.Sprintf("Linear/%v_%d_%d", rows, i, o), Product: true, Linear: []int{0, 1},
		Args:      []Arg{{Shape: append(slices.Clone(rows), i)}, weight(o, i), weight(o)},
		Flops:     2 * float64(tensor.Len(rows)) * float64(i) * float64(o),
		Run:       func(g graph, x values) *autograd.Value { return g.Linear(x[0], x[1], at(x, 2)) },
		Reference: func(x []Array) Array { return linear(x[0], x[1], bias(x)) },
	}
}

// epilogueCases go through every kernel that has an epilogue: products of whole and of partial panels, in one block
// and in several, Winograd's form with whole and with partial pieces, and what falls back to operations of their
// own.
func epilogueCases() []Case {
	one, same, down := tensor.SameConv(1), tensor.SameConv(3), tensor.SameConv(3)
	down.Stride = 2
	all := tensor.ReLU
	list := []Case{
		epilogueOp(1, 1, 1, 1, 1, one, autograd.Epilogue{Scale: -2, Func: all}, true),
		epilogueOp(1, 1, 37, 20, 64, one, autograd.Epilogue{}, true),
		epilogueOp(1, 1, 300, 1500, 33, one, autograd.Epilogue{Scale: 0.25}, true),
		epilogueOp(2, 9, 7, 5, 70, same, autograd.Epilogue{Scale: 1.5, Func: all}, true),
		epilogueOp(2, 9, 7, 5, 70, down, autograd.Epilogue{Func: tensor.Tanh}, true),
		epilogueOp(1, 16, 20, 16, 48, same, autograd.Epilogue{}, true),
		epilogueOp(2, 6, 9, 32, 64, same, autograd.Epilogue{Scale: 0.5, Func: all}, true),
		epilogueOp(1, 8, 8, 80, 32, same, autograd.Epilogue{Func: tensor.GELU}, false),
		epilogueOp(1, 6, 5, 4, 8, same, autograd.Epilogue{GEGLU: true, Scale: 0.5}, true),
		epilogueOp(1, 1, 50, 40, 128, one, autograd.Epilogue{GEGLU: true}, false),
		epilogueOp(1, 1, 500, 24, 192, one, autograd.Epilogue{GEGLU: true, Scale: 2, Func: tensor.SiLU}, true),
		epilogueOp(1, 1, 9, 24, 22, one, autograd.Epilogue{GEGLU: true, Func: tensor.SiLU}, true),
	}
	for _, f := range []tensor.Func{tensor.SiLU, tensor.QuickGELU, tensor.Exp, tensor.Abs} {
		list = append(list, epilogueOp(1, 1, 33, 10, 40, one, autograd.Epilogue{Func: f}, f == tensor.SiLU))
	}
	return list
}

// epilogueOp is a case of LinearEpilogue (of one row of pixels with a window of one) or Conv2dEpilogue.
func epilogueOp(n, h, w, ci, co int, p tensor.Conv, e autograd.Epilogue, add bool) Case {
	c := conv(n, h, w, ci, co, p)
	c.Op = "Conv2dEpilogue"
	run := func(g graph, x values, e autograd.Epilogue) *autograd.Value {
		return g.Conv2dEpilogue(x[0], x[1], x[2], p, e)
	}
	if h == 1 && p.KH == 1 {
		c.Op, c.Args[1] = "LinearEpilogue", weight(co, ci)
		run = func(g graph, x values, e autograd.Epilogue) *autograd.Value {
			return g.LinearEpilogue(x[0], x[1], x[2], e)
		}
	}
	c.Name = fmt.Sprintf("%sEpilogue_%v_%v_%v_%v", c.Name, e.Scale, e.GEGLU, add, e.Func)
	c.Linear = nil
	if e.Func == tensor.Identity && !e.GEGLU {
		c.Linear = []int{0, 1}
	}
	sums, out := c.Reference, co
	if e.GEGLU {
		out = co / 2
	}
	oh, ow := p.Out(h, w)
	if add {
		c.Args = append(c.Args, Arg{Shape: []int{n, oh, ow, out}})
	}
	c.Run = func(g graph, x values) *autograd.Value {
		e := e
		if add {
			e.Add = x[3]
		}
		return run(g, x, e)
	}
	scale := float64(e.Scale)
	if scale == 0 {
		scale = 1
	}
	f := map[tensor.Func]func(float64) float64{tensor.Identity: func(v float64) float64 { return v },
		tensor.SiLU: silu, tensor.GELU: gelu,
		tensor.QuickGELU: quickGELU, tensor.Exp: math.Exp, tensor.Abs: math.Abs, tensor.Tanh: math.Tanh,
		tensor.ReLU: func(v float64) float64 { return max(v, 0) }}[e.Func]
	c.Reference = func(x []Array) Array {
		wide := slices.Clone(x[:3])
		wide[1] = Array{Shape: []int{co, ci, p.KH, p.KW}, Data: x[1].Data}
		y := each(sums(wide), func(v float64) float64 { return scale * v })
		if e.GEGLU {
			y = geglu(y)
		}
		if add {
			y = pairs(y, x[3], func(a, b float64) float64 { return a + b })
		}
		return each(y, f)
	}
	return c
}

func normCases() []Case {
	var list []Case
	// No groups of two or three numbers: they are normalised to nearly +-1 whatever the
	// input is, and what is left of the gradient is below float32 rounding.
	for _, silu := range []bool{false, true} {
		list = append(list, groupNormOp(silu, 1, 1e-5, 1, 1, 1, 5), groupNormOp(silu, 2, 1e-5, 3, 5, 7, 4),
			groupNormOp(silu, 32, 1e-6, 2, 3, 3, 64), groupNormOp(silu, 17, 1e-5, 1, 9, 4, 17), groupNormOp(silu, 5,
				1e-5, 2, 11, 100),
			groupNormOp(silu, 3, 1e-5, 1, 33, 31, 33), groupNormOp(silu, 2, 1e-5, 3, 12))
		for _, shape := range [][]int{{2, 5, 7, 4}, {3, 9, 4, 34}, {3, 12}} {
			k := groupNormOp(silu, 2, 1e-5, shape...)
			k.Name += "_each" // item has a gamma and a beta of its own
			for i := range k.Args[1:] {
				k.Args[i+1].Shape, k.Args[i+1].Param = []int{shape[0], shape[len(shape)-1]}, false
			}
			list = append(list, k)
		}
	}
	return append(list, layerNormOp(1e-5, 1, 5), layerNormOp(1e-5, 3, 5, 17), layerNormOp(1e-5, 2, 7, 100),
		layerNormOp(1e-5, 600, 48), layerNormOp(1e-5, 2, 2, 2, 33))
}

func scales(c int) Arg { return Arg{Shape: []int{c}, Param: true, Mean: 1, Spread: 0.5} }

// groupNormOp is a case of GroupNorm, or GroupNormSiLU, on x[shape...]. The
// inputs have a mean, as activations do.
func groupNormOp(withSiLU bool, groups int, eps float32, shape ...int) Case {
	c := shape[len(shape)-1]
	k := Case{
		Op: "GroupNorm", Linear: []int{1, 2},
		Args:      []Arg{{Shape: shape, Mean: 0.7}, scales(c), weight(c)},
		Flops:     8 * float64(tensor.Len(shape)),
		Run:       func(g graph, x values) *autograd.Value { return g.GroupNorm(x[0], x[1], x[2], groups, eps) },
		Reference: func(x []Array) Array { return groupNorm(x[0], x[1], x[2], groups, float64(eps)) },
	}
	if withSiLU {
		k.Op, k.Linear, k.Flops = "GroupNormSiLU", nil, 2*k.Flops
		k.Run = func(g graph, x values) *autograd.Value { return g.GroupNormSiLU(x[0], x[1], x[2], groups, eps) }
		k.Reference = func(x []Array) Array { return each(groupNorm(x[0], x[1], x[2], groups, float64(eps)), silu) }
	}
	k.Name = fmt.Sprintf("%s/%v_g%d", k.Op, shape, groups)
	return k
}

func layerNormOp(eps float32, shape ...int) Case {
	c := shape[len(shape)-1]
	return Case{
		Op: "LayerNorm", Name: fmt.Sprintf("LayerNorm/%v", shape), Linear: []int{1, 2},
		Args:      []Arg{{Shape: shape, Mean: 0.7}, scales(c), weight(c)},
		Flops:     8 * float64(tensor.Len(shape)),
		Run:       func(g graph, x values) *autograd.Value { return g.LayerNorm(x[0], x[1], x[2], eps) },
		Reference: func(x []Array) Array { return layerNorm(x[0], x[1], x[2], float64(eps)) },
	}
}

func attentionCases() []Case {
	list := []Case{softmaxOp(1, 1), softmaxOp(3, 5, 7), softmaxOp(9, 33), softmaxOp(2, 2049), softmaxOp(400, 50)}
	for i, d := range []int{1, 8, 17, 33, 40, 64, 80, 160, 512} {
		heads := 1 + i%3
		if d > 100 {
			heads = 1
		}
		list = append(list, attend(1+i%2, 9+i, 13, heads, d, false), attend(2-i%2, 15, 15, heads, d, true),
			attend(1, 1, 33, heads, d, false))
	}
	// More queries than one task takes, causal with unequal lengths, one position.
	return append(list, attend(1, 57, 77, 2, 8, false), attend(2, 130, 16, 1, 5, false),
		attend(1, 113, 113, 1, 8, true), attend(1, 600, 3, 1, 8, false),
		attend(1, 20, 7, 2, 8, true), attend(1, 5, 19, 1, 40, true), attend(3, 1, 1, 4, 8, false), attend(5, 3, 2,
			3, 3, false))
}

// attend is a case of Attention: q[n,l,heads*d], k and v[n,m,heads*d].
func attend(n, l, m, heads, d int, causal bool) Case {
	c := heads * d
	name := fmt.Sprintf("Attention/%dx%dx%d_h%dd%d", n, l, m, heads, d)
	if causal {
		name += "_causal"
	}
	return Case{
		Op: "Attention", Name: name, Product: true, Linear: []int{2},
		Args:      []Arg{{Shape: []int{n, l, c}, Spread: 2}, {Shape: []int{n, m, c}, Spread: 2}, {Shape: []int{n, m, c}}},
		Flops:     float64(n*l*m*heads) * float64(4*d+12),
		Run:       func(g graph, x values) *autograd.Value { return g.Attention(x[0], x[1], x[2], heads, causal) },
		Reference: func(x []Array) Array { return attention(x[0], x[1], x[2], heads, causal) },
	}
}

// one is a case of an operation on a single tensor.
func one(op, attributes string, arg Arg, flops float64, run func(g graph, x *autograd.Value) *autograd.Value,
	ref func(x Array) Array) Case {
	return Case{
		Op: op, Name: fmt.Sprintf("%s/%v%s", op, arg.Shape,
			attributes), Args: []Arg{arg}, Flops: flops * float64(tensor.Len(arg.Shape)),
		Run:       func(g graph, x values) *autograd.Value { return run(g, x[0]) },
		Reference: func(x []Array) Array { return ref(x[0]) },
	}
}

func linearIn(c Case, args ...int) Case {
	c.Linear = args
	return c
}

func softmaxOp(shape ...int) Case {
	return one("Softmax", "", Arg{Shape: shape, Spread: 6}, 12, graph.Softmax, softmax)
}

func siluOp(shape ...int) Case {
	return one("SiLU", "", Arg{Shape: shape, Spread: 6}, 10, graph.SiLU, func(x Array) Array { return each(x, silu) })
}

func gegluOp(shape ...int) Case {
	return one("GEGLU", "", Arg{Shape: shape, Spread: 4}, 6, graph.GEGLU, geglu)
}

func elementwiseCases() []Case {
	var list []Case
	functions := []struct {
		op  string
		run func(graph, *autograd.Value) *autograd.Value
		ref func(float64) float64
	}{
		{"SiLU", graph.SiLU, silu}, {"GELU", graph.GELU, gelu}, {"QuickGELU", graph.QuickGELU, quickGELU},
		{"Exp", graph.Exp, math.Exp}, {"Abs", graph.Abs, math.Abs}, {"Tanh", graph.Tanh, math.Tanh},
		{"ReLU", graph.ReLU, func(v float64) float64 { return max(v, 0) }},
		{"Clamp", func(g graph, x *autograd.Value) *autograd.Value { return g.Clamp(x, -1.5, 2.25) },
			func(v float64) float64 { return min(max(v, -1.5), 2.25) }},
		{"Scale", func(g graph, x *autograd.Value) *autograd.Value { return g.Scale(x, -1.75) },
			func(v float64) float64 { return -1.75 * v }},
	}
	for _, f := range functions {
		// Lengths below, at and above the vector widths and the length of a task (1<<14).
		for _, shape := range [][]int{{1}, {3, 5}, {2, 3, 7, 17}, {1<<14 + 3}} {
			c := one(f.op, "", Arg{Shape: shape, Spread: 6}, 8, f.run, func(x Array) Array { return each(x, f.ref) })
			if f.op == "Scale" {
				c = linearIn(c, 0)
			}
			list = append(list, c)
		}
	}
	list = append(list, gegluOp(2), gegluOp(3, 10), gegluOp(2, 5, 66), gegluOp(1, 3, 1024))
	binary := []struct {
		op     string
		linear []int
		run    func(graph, *autograd.Value, *autograd.Value) *autograd.Value
		ref    func(a, b float64) float64
	}{
		{"Add", []int{0, 1}, graph.Add, func(a, b float64) float64 { return a + b }},
		{"Sub", []int{0, 1}, graph.Sub, func(a, b float64) float64 { return a - b }},
		{"Mul", []int{0, 1}, graph.Mul, func(a, b float64) float64 { return a * b }},
	}
	for _, f := range binary {
		for _, shape := range [][]int{{1}, {3, 5}, {2, 3, 7, 17}, {1<<14 + 3}} {
			list = append(list, Case{
				Op: f.op, Name: fmt.Sprintf("%s/%v", f.op, shape), Linear: f.linear, Args: []Arg{{Shape: shape}, {Shape: shape}},
				Flops:     float64(tensor.Len(shape)),
				Run:       func(g graph, x values) *autograd.Value { return f.run(g, x[0], x[1]) },
				Reference: func(x []Array) Array { return pairs(x[0], x[1], f.ref) },
			})
		}
	}
	for _, shape := range [][]int{{2, 3}, {1, 1, 1, 1}, {3, 5, 7, 17}, {2, 9, 33}, {1, 140, 130, 2}} {
		n, c := shape[0], shape[len(shape)-1]
		list = append(list, Case{
			Op: "AddChannels", Name: fmt.Sprintf("AddChannels/%v", shape), Linear: []int{0,
				1}, Args: []Arg{{Shape: shape}, {Shape: []int{n, c}}},
			Flops:     float64(tensor.Len(shape)),
			Run:       func(g graph, x values) *autograd.Value { return g.AddChannels(x[0], x[1]) },
			Reference: func(x []Array) Array { return addChannels(x[0], x[1]) },
		})
	}
	return list
}

func shapeCases() []Case {
	var list []Case
	for _, s := range [][]int{{1, 1, 1}, {15, 3, 5}, {7, 17, 33}, {1, 100, 4}, {600, 31, 2}} { // rows, columns of both
		rows, a, b := s[0], s[1], s[2]
		list = append(list, Case{
			Op: "Concat", Name: fmt.Sprintf("Concat/%d_%d_%d", rows, a, b), Linear: []int{0,
				1}, Args: []Arg{{Shape: []int{1, rows, a}}, {Shape: []int{1, rows, b}}},
			Run:       func(g graph, x values) *autograd.Value { return g.Concat(x[0], x[1]) },
			Reference: func(x []Array) Array { return concat(x[0], x[1]) },
		})
		sliced := func(from, to int) Case {
			return linearIn(one("Slice", fmt.Sprintf("_%d_%d", from, to), Arg{Shape: []int{rows, a + b}}, 0,
				func(g graph, x *autograd.Value) *autograd.Value { return g.Slice(x, from, to) },
				func(x Array) Array { return slice(x, from, to) }), 0)
		}
		list = append(list, sliced(0, a), sliced(a, a+b), sliced(0, a+b))
	}
	for _, n := range []int{1, 2, 5} {
		list = append(list, linearIn(one("Repeat", fmt.Sprintf("_%d", n), Arg{Shape: []int{1, 3, 7}}, 0,
			func(g graph, x *autograd.Value) *autograd.Value { return g.Repeat(x, n) },
			func(x Array) Array { return repeat(x, n) }), 0))
	}
	list = append(list, linearIn(one("Reshape", "", Arg{Shape: []int{2, 3, 5}}, 0,
		func(g graph, x *autograd.Value) *autograd.Value { return g.Reshape(x, 6, 5) },
		func(x Array) Array { return reshape(x, 6, 5) }), 0))
	// Windows that overlap, repeat and touch the edges.
	for i, at := range [][][2]int{{{0, 0}}, {{0, 0}, {4, 6}, {1, 2}, {2, 2}, {1, 2}}, {{4, 0}, {0, 6}}} {
		const h, w, pictureH, pictureW = 3, 5, 7, 11
		c := []int{1, 3, 17}[i]
		list = append(list,
			linearIn(one("Windows", fmt.Sprintf("_%dof%dx%d", len(at), h, w), Arg{Shape: []int{1, pictureH, pictureW, c}}, 0,
				func(g graph, x *autograd.Value) *autograd.Value { return g.Windows(x, h, w, at) },
				func(x Array) Array { return windows(x, h, w, at) }), 0),
			linearIn(one("AddWindows", "", Arg{Shape: []int{len(at), h, w, c}}, 0,
				func(g graph, x *autograd.Value) *autograd.Value { return g.AddWindows(x, pictureH, pictureW, at) },
				func(x Array) Array { return addWindows(x, pictureH, pictureW, at) }), 0))
	}
	for _, s := range [][]int{{1, 1, 1, 1}, {2, 3, 5, 17}, {3, 4, 2, 33}, {1, 40, 30, 4}} {
		list = append(list,
			linearIn(one("Enlarge2x", "", Arg{Shape: s}, 0,
				func(g graph, x *autograd.Value) *autograd.Value { return g.Enlarge2x(x) }, enlarge2x), 0),
			linearIn(one("Mean2x2", "", Arg{Shape: []int{s[0], 2 * s[1], 2 * s[2], s[3]}}, 0,
				func(g graph, x *autograd.Value) *autograd.Value { return g.Mean2x2(x) }, mean2x2), 0))
	}
	ids := []int{4, 0, 6, 4, 1, 4} // a row used three times, rows never used
	for _, c := range []int{1, 5, 33} {
		table := Arg{Shape: []int{7, c}, Param: true}
		list = append(list, linearIn(one("Embedding", "", table, 0,
			func(g graph, w *autograd.Value) *autograd.Value { return g.Embedding(w, ids, 2, 3) },
			func(w Array) Array { return embedding(w, ids, 2, 3) }), 0))
	}
	// Map with an upper triangular matrix of ones: running sums from the end, and from the start.
	suffix := func(dst, src []float32) {
		var sum float32
		for i := len(src) - 1; i >= 0; i-- {
			sum += src[i]
			dst[i] = sum
		}
	}
	prefix := func(dst, src []float32) {
		var sum float32
		for i, v := range src {
			sum += v
			dst[i] = sum
		}
	}
	return append(list, linearIn(one("Map", "", Arg{Shape: []int{3, 7}}, 0,
		func(g graph, x *autograd.Value) *autograd.Value { return g.Map(x, []int{7, 3}, suffix, prefix) },
		func(x Array) Array {
			y := NewArray(7, 3)
			for i := range y.Data {
				for _, v := range x.Data[i:] {
					y.Data[i] += v
				}
			}
			return y
		}), 0))
}

// sparseCases: along an axis with few and with many numbers side by side, sums of parts that overlap, rows without
// entries, and two matrices one after the other.
func sparseCases() []Case {
	list := []Case{sparseOp(sparse(1, 1, 1, 1, 1)), sparseOp(sparse(1, 7, 5, 33, 33)), sparseOp(sparse(6, 9, 13, 3, 3)),
		sparseOp(sparse(5, 13, 4, 1, 1)), sparseOp(sparse(3, 4, 6, 2, 2)), sparseOp(sparse(2, 40, 3, 17, 5)),
		sparseOp(sparse(1, 90, 11, 24, 1)), sparseOp(sparse(150, 130, 65, 3, 3)), sparseOp(sparse(1, 128, 64, 390, 390)),
		sparseOp(sparse(1, 1200, 1000, 3, 3))}
	first := sparse(1, 7, 5, 36, 36) // [7,12,3] along y and then along x
	return append(list, sparseOp(first, sparse(5, 12, 8, 3, 3)))
}

// sparse is a matrix on x[outer, n*step] of the given rows, of which each third has no entries, and the others up to
// seven.
func sparse(outer, n, rows, inner, step int) *tensor.Sparse {
	r := rand.New(rand.NewPCG(uint64(n), uint64(rows)))
	start, at, w := []int32{0}, []int32(nil), []float32(nil)
	in := (n-1)*step + inner
	for row := range rows {
		for range min(1, (row+1)%3) * (1 + r.IntN(7)) {
			at, w = append(at, int32(step*r.IntN(n))), append(w, 2*r.Float32()-1)
		}
		start = append(start, int32(len(at)))
	}
	return tensor.NewSparse(outer, in, inner, start, at, w)
}

// sparseOp is a case of Sparse with the matrices one after the other.
func sparseOp(chain ...*tensor.Sparse) Case {
	name, flops, last := "Sparse", 0.0, chain[len(chain)-1]
	var back []*tensor.Sparse
	for _, m := range chain {
		name += fmt.Sprintf("/%dx%d_%dx%d_%d", m.Outer, m.In, m.Rows(), m.Inner, len(m.W))
		flops += 2 * float64(m.Outer*len(m.W)*m.Inner)
		back = append([]*tensor.Sparse{transposed(m)}, back...)
	}
	shape := []int{last.Outer, last.Rows(), last.Inner}
	return Case{
		Op: "Sparse", Name: name, Linear: []int{0}, Flops: flops, Args: []Arg{{Shape: []int{chain[0].Outer, chain[0].In}}},
		Run: func(g graph, x values) *autograd.Value { return g.Sparse(x[0], shape, chain, back) },
		Reference: func(x []Array) Array {
			y := x[0]
			for _, m := range chain {
				y = sparseProduct(y, m)
			}
			return y
		},
	}
}

// transposed is the transpose of m with an entry for each number.
func transposed(m *tensor.Sparse) *tensor.Sparse {
	type entry struct {
		at int32
		w  float32
	}
	lists := make([][]entry, m.In)
	for r := range m.Rows() {
		for e := m.Start[r]; e < m.Start[r+1]; e++ {
			for k := range m.Inner {
				to := int(m.At[e]) + k
				lists[to] = append(lists[to], entry{int32(r*m.Inner + k), m.W[e]})
			}
		}
	}
	start, at, w := []int32{0}, []int32(nil), []float32(nil)
	for _, l := range lists {
		for _, e := range l {
			at, w = append(at, e.at), append(w, e.w)
		}
		start = append(start, int32(len(at)))
	}
	return tensor.NewSparse(m.Outer, m.Rows()*m.Inner, 1, start, at, w)
}

func reduceCases() []Case {
	var list []Case
	// The mean keeps the sums away from zero, where a relative error means nothing.
	for _, shape := range [][]int{{1}, {3, 5}, {2, 3, 7, 17}, {3, 1<<14 + 5}} {
		x := Arg{Shape: shape, Mean: 0.4}
		n := float64(tensor.Len(shape))
		list = append(list,
			linearIn(one("Sum", "", x, 1, graph.Sum, func(x Array) Array { return total(x, identity) }), 0),
			linearIn(one("Mean", "", x, 1, graph.Mean, func(x Array) Array {
				return each(total(x, identity), func(v float64) float64 { return v / n })
			}), 0),
			one("SumSquares", "", x, 2, graph.SumSquares, func(x Array) Array { return total(x, square) }),
			one("Norm2", "", x, 2, graph.Norm2, func(x Array) Array { return each(total(x, square), math.Sqrt) }))
	}
	return list
}
