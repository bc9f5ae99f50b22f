// Package autograd makes values that remember how they were made, and takes
// gradients of them by walking that memory backwards (reverse mode).
//
// A [Graph] is one computation: it owns the memory of every value made in it and,
// unless made by [NoGrad], a tape of the operations. Parameters ([NewParam]) live
// outside any graph and can be shared by graphs that run at the same time, as
// long as none of them trains. There is no global state.
package autograd

import (
	"fmt"
	"slices"
	"time"

	"psld/tensor"
)

// Value is a tensor in a graph, or a parameter.
type Value struct {
	T        *tensor.Tensor
	grad     *tensor.Tensor
	dev      tensor.Device // of the graph; of a parameter, that of its gradient
	requires bool          // a gradient with respect to this value is wanted
	param    bool
	leaf     bool
	spent    bool // Backward went through it: its part of the tape is gone
}

// NewParam makes a parameter of t: a leaf that outlives graphs. It is frozen until
// RequireGrad(true): no gradient is computed for it and none of the work is done.
func NewParam(t *tensor.Tensor) *Value { return &Value{T: t, param: true, leaf: true} }

// RequireGrad says whether Backward computes the gradient of a parameter.
func (v *Value) RequireGrad(on bool) { v.requires = on }

// Changed must be called after T.Data of a parameter was written by hand.
func (v *Value) Changed() { v.T.Changed() }

// Grad is the gradient that Backward left in a parameter or graph input, or nil.
// That of an input belongs to the graph and is gone after Release.
func (v *Value) Grad() *tensor.Tensor { return v.grad }

// ZeroGrad clears a parameter's gradient.
func (v *Value) ZeroGrad() {
	if v.grad != nil {
		v.dev.Fill(v.grad, 0)
	}
}

// DropGrad gives a parameter's gradient back to the device.
func (v *Value) DropGrad() {
	if v.grad != nil {
		v.dev.Put(v.grad)
		v.grad = nil
	}
}

// Host returns the elements of a value of a graph in ordinary memory, for reading. They are valid until Release.
func (v *Value) Host() []float32 { return v.dev.Host(v.T) }

// Item is the only element of a scalar value.
func (v *Value) Item() float64 { return float64(v.Host()[0]) }

type node struct {
	out   *Value
	saved []*tensor.Tensor // forward values that backward reads
	// backward turns the gradient of out into gradients of the inputs, by Graph.add.
	// It returns true when it kept dy itself for one of them.
	backward func(dy *tensor.Tensor) (kept bool)
}

// Graph is one computation. It is for one goroutine; its operations are parallel inside.
type Graph struct {
	// Checkpoint makes Block recompute its inside during Backward in place of
	// keeping it: less memory, one more forward pass.
	Checkpoint bool
	// Plan, when set, says which blocks are recomputed; it wins over Checkpoint.
	Plan *Plan
	// Frugal makes Backward give back the memory of a value as soon as it has passed the operation that made
	// it. Afterwards only the inputs and their gradients are left; without it, values stay until Release.
	Frugal bool
	// OnTrace, when set, sees the named intermediate values of the networks.
	OnTrace func(name string, v *Value)
	// OnOp, when set, sees the result of every operation and every gradient that one gives to an input, in the
	// order in which they are computed: for a search of where a number comes from. It costs nothing when it is nil.
	OnOp func(op Op)
	// Stop, when set, is asked before each operation, in Backward too. Where it gives an error the computation ends by a
	// panic with *tensor.Stopped, which tensor.Catch turns into that error; Release gives the memory back.
	Stop func() error

	dev       tensor.Device
	record    bool
	trainable bool // an operation used a parameter that wants a gradient
	tape      []node
	owned     []*tensor.Tensor // values, and gradients of inputs
	temps     []*tensor.Tensor // gradients on their way
	blocks    []*block         // that keep their inside
	within    int64            // bytes that its blocks keep, or would
	measure   bool             // blocks find out what they would keep, though they do not
	op        Op               // for OnOp: the one that is being made or differentiated
}

// NewGraph makes a graph on dev that records.
func NewGraph(dev tensor.Device) *Graph { return &Graph{dev: dev, record: true} }

// NoGrad makes a graph on dev without a tape: values cannot be differentiated, and
// Block frees its inner memory at once.
func NoGrad(dev tensor.Device) *Graph { return &Graph{dev: dev} }

// Device is where the graph computes.
func (g *Graph) Device() tensor.Device { return g.dev }

// Recording tells whether operations are put on the tape.
func (g *Graph) Recording() bool { return g.record }

// Input wraps t as a leaf whose gradient is wanted. t is copied where it has to be moved to the device's memory.
func (g *Graph) Input(t *tensor.Tensor) *Value {
	return &Value{T: g.moved(t), dev: g.dev, requires: g.record, leaf: true}
}

// Const wraps t as a leaf without a gradient. t is copied where it has to be moved to the device's memory.
func (g *Graph) Const(t *tensor.Tensor) *Value { return &Value{T: g.moved(t), dev: g.dev, leaf: true} }

// moved is t, or where that lies in host memory and the device has its own, a copy there that lives as long as the
// graph, so that each use of t takes no copy of its own.
func (g *Graph) moved(t *tensor.Tensor) *tensor.Tensor {
	if t.Data == nil || tensor.OnHost(g.dev) {
		return t
	}
	on := g.alloc(t.Shape...)
	g.dev.Upload(on, t.Data)
	return on
}

// Trace shows v to OnTrace, if that is set.
func (g *Graph) Trace(name string, v *Value) {
	if g.OnTrace != nil {
		g.OnTrace(name, v)
	}
}

// Release takes back the memory of all values of the graph, and of the
// gradients of its inputs. Values of the graph must not be used afterwards.
func (g *Graph) Release() {
	for _, b := range g.blocks {
		b.release()
	}
	for _, t := range slices.Concat(g.owned, g.temps) {
		g.dev.Put(t)
	}
	g.owned, g.temps, g.tape, g.blocks = nil, nil, nil, nil
}

// Detach takes v's tensor out of the graph's care: it stays valid after Release.
func (g *Graph) Detach(v *Value) *tensor.Tensor {
	if g.disown(v.T) {
		if d, ok := g.dev.(tensor.Settler); ok {
			d.Settle(v.T)
		}
	}
	return v.T
}

// Own is a constant of a tensor of the device's Get that the graph gives back in Release, such as one that another
// graph has let go by Detach.
func (g *Graph) Own(t *tensor.Tensor) *Value {
	g.owned = append(g.owned, t)
	return &Value{T: t, dev: g.dev, leaf: true}
}

// disown removes the memory behind t from the graph's list and reports whether it was there.
func (g *Graph) disown(t *tensor.Tensor) bool { return remove(&g.owned, t) }

// remove takes the tensor whose memory t is a view of out of list, and reports whether it was there.
func remove(list *[]*tensor.Tensor, t *tensor.Tensor) bool {
	for i, x := range slices.Backward(*list) {
		if x.Storage() == t.Storage() {
			*list = slices.Delete(*list, i, i+1)
			return true
		}
	}
	return false
}

// get takes memory of the device for the next operation, unless the computation is to end.
func (g *Graph) get(shape []int) *tensor.Tensor {
	if g.Stop != nil {
		if err := g.Stop(); err != nil {
			panic(&tensor.Stopped{Err: err})
		}
	}
	return g.dev.Get(shape...)
}

// temp returns a tensor for a gradient, which drop gives back. Release does too, where a panic came between.
func (g *Graph) temp(shape ...int) *tensor.Tensor {
	t := g.get(shape)
	g.temps = append(g.temps, t)
	return t
}

func (g *Graph) drop(t *tensor.Tensor) {
	remove(&g.temps, t)
	g.dev.Put(t)
}

// saves tells whether the gradient of some operation reads the buffer behind t.
func (g *Graph) saves(t *tensor.Tensor) bool {
	for _, n := range g.tape {
		for _, s := range n.saved {
			if s.Storage() == t.Storage() {
				return true
			}
		}
	}
	return false
}

// prune gives back what no gradient reads.
func (g *Graph) prune() {
	kept := g.owned[:0]
	for _, t := range g.owned {
		if g.saves(t) {
			kept = append(kept, t)
		} else {
			g.dev.Put(t)
		}
	}
	clear(g.owned[len(kept):])
	g.owned = kept
}

// passed gives back the result of an operation once its gradient is done: whatever read it came later. A
// view of it is another tensor, and is not in the list.
func (g *Graph) passed(t *tensor.Tensor) {
	for i := len(g.owned) - 1; i >= 0; i-- {
		if g.owned[i] == t {
			g.owned = slices.Delete(g.owned, i, i+1)
			g.dev.Put(t)
			return
		}
	}
}

// alloc returns a tensor that lives as long as the graph.
func (g *Graph) alloc(shape ...int) *tensor.Tensor {
	t := g.get(shape)
	g.owned = append(g.owned, t)
	return t
}

// wants tells whether an operation on these values goes on the tape.
func (g *Graph) wants(in ...*Value) bool {
	any := false
	if g.OnOp != nil {
		g.op = Op{Params: params(in)}
	}
	for _, v := range in {
		if v != nil && v.requires {
			any = true
			if v.param {
				g.trainable = true
			}
		}
	}
	return any && g.record
}

// result makes the value of an operation and puts it on the tape when wanted, with the forward values that
// backward reads: a Block keeps no others.
func (g *Graph) result(t *tensor.Tensor, wanted bool, backward func(dy *tensor.Tensor) bool,
	saved ...*tensor.Tensor) *Value {
	v := &Value{T: t, dev: g.dev, requires: wanted}
	if g.OnOp != nil {
		backward = g.show(t, backward)
	}
	if wanted {
		g.tape = append(g.tape, node{v, saved, backward})
	}
	return v
}

// add adds the gradient t to v's; it takes t over (t came from temp).
func (g *Graph) add(v *Value, t *tensor.Tensor) {
	if v.spent {
		panic("autograd: Backward through a value whose tape an earlier Backward used up")
	}
	if v.grad == nil {
		v.grad, v.dev = t, g.dev
		if v.leaf {
			remove(&g.temps, t)
		}
		if v.leaf && !v.param {
			g.owned = append(g.owned, t)
		}
	} else {
		g.dev.Axpy(v.grad, 1, t)
		g.drop(t)
	}
	if g.OnOp != nil && g.op.Gradient {
		g.op.Out = v.grad
		g.OnOp(g.op)
	}
}

// addOrDrop adds the gradient t to v's when that is wanted; it takes t over.
func (g *Graph) addOrDrop(v *Value, t *tensor.Tensor) {
	if v.requires {
		g.add(v, t)
	} else {
		g.drop(t)
	}
}

// Backward computes the gradients of sum(out*seed) for all inputs and parameters
// that want one; seed nil means ones. Parameters add to the gradient that they
// have. The tape is used up: a second Backward on the same graph takes only what was
// made after the first, and panics when it comes to a value from before, other than a leaf.
func (g *Graph) Backward(out *Value, seed *tensor.Tensor) {
	if !out.requires {
		panic("autograd: Backward of a value that depends on no input and no trainable parameter")
	}
	s := g.temp(out.T.Shape...)
	if seed == nil {
		g.dev.Fill(s, 1)
	} else {
		check(tensor.Same(seed.Shape, out.T.Shape), "Backward", "seed", seed.Shape, out.T.Shape)
		g.dev.Scale(s, 1, seed)
	}
	g.backward(out, s)
}

// backward walks the tape with the gradient seed of out, which it takes over.
func (g *Graph) backward(out *Value, seed *tensor.Tensor) {
	g.add(out, seed)
	for i := len(g.tape) - 1; i >= 0; i-- {
		n := g.tape[i]
		g.tape[i] = node{}
		n.out.spent = true
		if dy := n.out.grad; dy != nil {
			n.out.grad = nil
			if !n.backward(dy) {
				g.drop(dy)
			}
		}
		if g.Frugal {
			g.passed(n.out.T)
		}
	}
	g.tape = nil
}

// Block runs fn as one unit of memory: on a graph without a tape everything that
// fn made, but its result, is freed when it returns; with Checkpoint set, the
// same happens and Backward runs fn again; a Plan decides for each block. Otherwise what gradients inside
// read is kept until Backward has passed it, and the rest is freed. fn must be a function of in and of
// parameters alone, and make the same numbers each time. Gradients are the same bits in all cases.
func (g *Graph) Block(fn func(g *Graph, in []*Value) *Value, in ...*Value) *Value {
	keep, measure := g.record && !g.Checkpoint, g.measure
	if g.record && g.Plan != nil {
		keep = g.Plan.keeps()
		measure = !g.Plan.chosen
	}
	inside := &block{fn: fn, in: in, onOp: g.OnOp}
	g.blocks = append(g.blocks, inside) // released with the graph, also where fn panics
	start := time.Now()
	out := inside.run(&Graph{dev: g.dev, record: keep || measure, Checkpoint: !keep, measure: measure,
		OnTrace: g.OnTrace, Stop: g.Stop})
	took := time.Since(start)
	sub := inside.sub
	if sub.disown(out.T) {
		g.owned = append(g.owned, out.T)
	}
	if sub.record {
		sub.prune()
	}
	bytes := sub.within
	for _, t := range sub.owned {
		bytes += int64(4 * t.Len())
	}
	g.within += bytes
	if g.record && g.Plan != nil && !keep {
		g.Plan.measured(bytes, took)
	}
	saved := inputs(in)
	if keep && sub.saves(out.T) {
		saved = append(saved, out.T)
	}
	wanted := g.wants(in...) || sub.trainable && g.record
	g.trainable = g.trainable || sub.trainable
	if !keep || !wanted {
		inside.release()
		g.blocks = g.blocks[:len(g.blocks)-1]
	}
	return g.result(out.T, wanted, func(dy *tensor.Tensor) bool {
		if inside.sub == nil {
			g.blocks = append(g.blocks, inside)
			inside.run(&Graph{dev: g.dev, record: true, Stop: g.Stop})
			inside.sub.prune()
		}
		used := inside.out.requires // or none of the values that want a gradient
		if used {
			remove(&g.temps, dy)
			inside.sub.temps = append(inside.sub.temps, dy)
			inside.sub.backward(inside.out, dy)
		}
		for i, v := range inside.leaves {
			if v != nil && v.grad != nil {
				inside.sub.disown(v.grad)
				g.temps = append(g.temps, v.grad)
				g.add(in[i], v.grad)
			}
		}
		inside.release()
		return used
	}, saved...)
}

// inputs are the tensors of in.
func inputs(in []*Value) []*tensor.Tensor {
	var list []*tensor.Tensor
	for _, v := range in {
		if v != nil {
			list = append(list, v.T)
		}
	}
	return list
}

// block is the inside of a Block: a graph of its own, whose inputs are leaves, so that the order of the
// sums of gradients does not depend on when it was made.
type block struct {
	fn     func(g *Graph, in []*Value) *Value
	in     []*Value
	onOp   func(Op)
	sub    *Graph
	leaves []*Value
	out    *Value
}

// run computes the block in sub, an empty graph.
func (b *block) run(sub *Graph) *Value {
	b.sub = sub
	sub.Frugal, sub.OnOp = true, b.onOp
	b.leaves = make([]*Value, len(b.in))
	for i, v := range b.in {
		if v != nil {
			b.leaves[i] = &Value{T: v.T, dev: sub.dev, requires: v.requires, leaf: true}
		}
	}
	b.out = b.fn(b.sub, b.leaves)
	return b.out
}

func (b *block) release() {
	if b.sub != nil {
		b.sub.Release()
	}
	b.sub, b.leaves, b.out = nil, nil, nil
}

// check panics with the operation's name and both shapes: a programmer's mistake.
func check(ok bool, op, what string, got, want any) {
	if !ok {
		panic(fmt.Sprintf("autograd: %s: %s is %v, want %v", op, what, got, want))
	}
}
