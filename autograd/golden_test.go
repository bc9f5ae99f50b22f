package autograd

import (
	"path/filepath"
	"strings"
	"testing"

	"psld/asm"
	"psld/internal/golden"
	"psld/tensor"
	"psld/tensor/cpu"
)

// opCase is one row of the golden ops/index.json.
type opCase struct {
	Name, Op                string
	Kernel, Stride, Padding int
	Groups, Heads           int
	Eps                     float32
	Tensors                 map[string][]int
}

// engineOps are the golden ops that are single operations of this package; the
// others are modules or resizers and have tests where they live.
var engineOps = map[string]func(g *Graph, c opCase, x []*Value, w map[string]*Value) *Value{
	"conv2d": func(g *Graph, c opCase, x []*Value, w map[string]*Value) *Value {
		p := tensor.Conv{KH: c.Kernel, KW: c.Kernel, Stride: c.Stride, PadTop: c.Padding, PadLeft: c.Padding,
			PadBottom: c.Padding, PadRight: c.Padding}
		return g.Conv2d(x[0], w["weight"], w["bias"], p)
	},
	"vae_downsample": func(g *Graph, c opCase, x []*Value, w map[string]*Value) *Value {
		return g.Conv2d(x[0], w["conv.weight"], w["conv.bias"], tensor.Conv{KH: 3, KW: 3, Stride: 2, PadBottom: 1,
			PadRight: 1})
	},
	"upsample_conv": func(g *Graph, c opCase, x []*Value, w map[string]*Value) *Value {
		p := tensor.SameConv(3)
		p.Upsample = true
		return g.Conv2d(x[0], w["conv.weight"], w["conv.bias"], p)
	},
	"linear": func(g *Graph, c opCase, x []*Value, w map[string]*Value) *Value {
		return g.Linear(x[0], w["weight"], w["bias"])
	},
	"group_norm": func(g *Graph, c opCase, x []*Value, w map[string]*Value) *Value {
		return g.GroupNorm(x[0], w["weight"], w["bias"], c.Groups, c.Eps)
	},
	"layer_norm": func(g *Graph, c opCase, x []*Value, w map[string]*Value) *Value {
		return g.LayerNorm(x[0], w["weight"], w["bias"], c.Eps)
	},
	"geglu": func(g *Graph, c opCase, x []*Value, w map[string]*Value) *Value {
		return g.GEGLU(g.Linear(x[0], w["proj.weight"], w["proj.bias"]))
	},
	"softmax":    func(g *Graph, c opCase, x []*Value, _ map[string]*Value) *Value { return g.Softmax(x[0]) },
	"silu":       func(g *Graph, c opCase, x []*Value, _ map[string]*Value) *Value { return g.SiLU(x[0]) },
	"gelu_erf":   func(g *Graph, c opCase, x []*Value, _ map[string]*Value) *Value { return g.GELU(x[0]) },
	"quick_gelu": func(g *Graph, c opCase, x []*Value, _ map[string]*Value) *Value { return g.QuickGELU(x[0]) },
	"l2norm":     func(g *Graph, c opCase, x []*Value, _ map[string]*Value) *Value { return g.Norm2(x[0]) },
	"sdpa": func(g *Graph, c opCase, x []*Value, _ map[string]*Value) *Value {
		return g.Attention(x[0], x[1], x[2], c.Heads, false)
	},
}

// load makes an engine tensor of a golden one: 4-D data of pictures goes to channels last.
func load(data []float32, shape []int, picture bool) *tensor.Tensor {
	if picture && len(shape) == 4 {
		return tensor.FromNCHW(data, shape[0], shape[1], shape[2], shape[3])
	}
	return tensor.From(data, shape...)
}

// unload brings a result back to the order of the golden files.
func unload(t *tensor.Tensor) []float32 {
	if len(t.Shape) == 4 {
		return t.NCHW()
	}
	return t.Data
}

func TestGoldenOps(t *testing.T) {
	for _, dir := range golden.Folders(t, "ops") {
		var cases []opCase
		golden.JSON(t, filepath.Join(dir, "index.json"), &cases)
		for _, c := range cases {
			op := engineOps[c.Op]
			if op == nil {
				continue
			}
			for _, tier := range asm.Available() {
				t.Run(c.Name+"/"+tier.String(), func(t *testing.T) {
					defer asm.Use(asm.Use(tier))
					runGolden(t, filepath.Join(dir, c.Name+".safetensors"), c, op)
				})
			}
		}
	}
}

func runGolden(t *testing.T, path string, c opCase, op func(*Graph, opCase, []*Value, map[string]*Value) *Value) {
	f := golden.Load(t, path)
	limit := 2e-5
	if strings.Contains(c.Name, "lowvar") {
		limit = 3e-4
	}
	g := NewGraph(cpu.F32)
	defer g.Release()
	var xs []*Value
	for _, name := range []string{"x0", "x1", "x2"} {
		if _, ok := c.Tensors[name]; ok {
			data, shape := golden.F32(t, f, name)
			xs = append(xs, g.Input(load(data, shape, true)))
		}
	}
	ws := map[string]*Value{}
	for name := range c.Tensors {
		if w, ok := strings.CutPrefix(name, "w."); ok {
			data, shape := golden.F32(t, f, name)
			ws[w] = NewParam(load(data, shape, false))
			ws[w].RequireGrad(true)
		}
	}
	y := op(g, c, xs, ws)
	want, _ := golden.F32(t, f, "y")
	golden.Check(t, "y", unload(y.T), want, limit)
	cot, shape := golden.F32(t, f, "cot")
	g.Backward(y, load(cot, shape, true))
	for i, x := range xs {
		name := "grad.x" + string(rune('0'+i))
		want, _ := golden.F32(t, f, name)
		if strings.HasSuffix(c.Name, "_zero") { // exactly zero in theory: relative error means nothing
			for _, v := range x.Grad().Data {
				if v > 1e-4 || v < -1e-4 {
					t.Fatalf("%s: %g, want 0", name, v)
				}
			}
			continue
		}
		golden.Check(t, name, unload(x.Grad()), want, limit)
	}
	for name, w := range ws {
		want, _ := golden.F32(t, f, "grad.w."+name)
		golden.Check(t, "grad.w."+name, w.Grad().Data, want, limit)
	}
}
