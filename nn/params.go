// Package nn holds the layers that the networks are made of. A layer is a
// struct of parameters with a Forward method; its parameters carry the names
// of the diffusers weight files, so a network loads a file by asking for each
// of its own names.
//
// Activations are channels last: pictures [N, H, W, C], token rows [N, L, C].
package nn

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"

	"psld/autograd"
	"psld/tensor"
)

// Param is one named parameter.
type Param struct {
	Name  string // e.g. "down_blocks.0.resnets.1.conv1.weight"
	Value *autograd.Value
	// Matrix tells that it is used as the weight of convolutions or linear layers
	// only, so that a device may keep it in a layout of its own.
	Matrix bool
}

// Params is an ordered registry of parameters. Sub gives a view on it with a
// name prefix; the methods of a view see the parameters below its prefix only.
type Params struct {
	prefix string
	list   *[]Param
}

// NewParams returns an empty registry.
func NewParams() *Params { return &Params{list: new([]Param)} }

// Sub returns the view whose names start with the formatted path and a dot.
func (p *Params) Sub(format string, args ...any) *Params {
	return &Params{prefix: p.prefix + fmt.Sprintf(format, args...) + ".", list: p.list}
}

// New registers a parameter of the given shape, frozen, and returns it. It has no elements
// until Load, LoadFrozen or Init gives them. A name can be used once only.
func (p *Params) New(name string, shape ...int) *autograd.Value {
	return p.register(name, false, shape)
}

// NewMatrix is New for the weight of a convolution [O,I,KH,KW] or a linear layer [O,I].
func (p *Params) NewMatrix(name string, shape ...int) *autograd.Value {
	return p.register(name, true, shape)
}

func (p *Params) register(name string, matrix bool, shape []int) *autograd.Value {
	name = p.prefix + name
	for _, q := range *p.list {
		if q.Name == name {
			panic("nn: parameter " + name + " registered twice")
		}
	}
	v := autograd.NewParam(tensor.Shaped(shape...))
	*p.list = append(*p.list, Param{name, v, matrix})
	return v
}

// All returns the parameters in the order of their registration.
func (p *Params) All() []Param {
	if p.prefix == "" {
		return *p.list
	}
	var all []Param
	for _, q := range *p.list {
		if strings.HasPrefix(q.Name, p.prefix) {
			all = append(all, q)
		}
	}
	return all
}

// Count returns the number of scalars in all parameters.
func (p *Params) Count() int {
	n := 0
	for _, q := range p.All() {
		n += q.Value.T.Len()
	}
	return n
}

// Shapes returns the shape of every parameter by name, to compare with what a
// weights file holds.
func (p *Params) Shapes() map[string][]int {
	shapes := map[string][]int{}
	for _, q := range p.All() {
		shapes[q.Name] = q.Value.T.Shape
	}
	return shapes
}

// RequireGrad makes the parameters trainable (true) or frozen (false).
func (p *Params) RequireGrad(on bool) {
	for _, q := range p.All() {
		q.Value.RequireGrad(on)
	}
}

// Init fills the parameters with PyTorch's default start values: weights and
// biases of convolutions and linear layers uniform in ±1/sqrt(fan-in), norms 1
// and 0, embeddings normal with deviation 0.02 (CLIP's). The random stream of a
// parameter depends on seed and its name only.
func (p *Params) Init(seed uint64) {
	fanIn := map[string]int{} // layer -> fan-in of its weight
	for _, q := range p.All() {
		t := q.Value.T
		layer, kind := "", q.Name
		if i := strings.LastIndexByte(q.Name, '.'); i >= 0 {
			layer, kind = q.Name[:i], q.Name[i+1:]
		}
		h := fnv.New64a()
		h.Write([]byte(q.Name))
		rng := rand.New(rand.NewPCG(seed, h.Sum64()))
		uniform := func(fan int) func() float32 {
			bound := 1 / math.Sqrt(float64(fan))
			return func() float32 { return float32(bound * (2*rng.Float64() - 1)) }
		}
		draw := func() float32 { return 0 } // norm bias
		switch {
		case strings.HasSuffix(layer, "_embedding"): // token and position tables
			draw = func() float32 { return float32(0.02 * rng.NormFloat64()) }
		case len(t.Shape) > 1:
			fanIn[layer] = t.Len() / t.Shape[0]
			draw = uniform(fanIn[layer])
		case fanIn[layer] > 0:
			draw = uniform(fanIn[layer])
		case kind == "weight":
			draw = func() float32 { return 1 }
		}
		t.Data = make([]float32, t.Len())
		for i := range t.Data {
			t.Data[i] = draw()
		}
		q.Value.Changed()
	}
}

// block runs fn as one checkpointable block of the network; absent (nil)
// inputs are left out of in.
func block(g *autograd.Graph, fn func(g *autograd.Graph, in []*autograd.Value) *autograd.Value,
	in ...*autograd.Value) *autograd.Value {
	kept := in[:0]
	for _, v := range in {
		if v != nil {
			kept = append(kept, v)
		}
	}
	return g.Block(fn, kept...)
}

// trace reports an inner activation of the layer called name, if it has one.
func trace(g *autograd.Graph, name, part string, v *autograd.Value) {
	if g.OnTrace != nil && name != "" {
		g.Trace(name+part, v)
	}
}
