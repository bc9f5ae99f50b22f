package solver

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/tensor"
)

// countedPrior counts what goes forward through its networks.
type countedPrior struct {
	*prior.LatentDiffusion
	eps, decode, encode *atomic.Int64
}

func (c countedPrior) Eps(g *autograd.Graph, z *autograd.Value, t float32, context *tensor.Tensor) *autograd.Value {
	c.eps.Add(1)
	return c.LatentDiffusion.Eps(g, z, t, context)
}

func (c countedPrior) Decode(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	c.decode.Add(1)
	return c.LatentDiffusion.Decode(g, z)
}

func (c countedPrior) Encode(g *autograd.Graph, x *autograd.Value, eps *tensor.Tensor) *autograd.Value {
	c.encode.Add(1)
	return c.LatentDiffusion.Encode(g, x, eps)
}

// TestCalls: a method that tells its calls makes as many, but for the decoding of a result that is no step's.
func TestCalls(t *testing.T) {
	m := prior.RandomTiny(3)
	for _, spec := range Specs() {
		for _, v := range []param.Values{{}, {"steps": 7, "fit_every": 2, "rounds": 2, "delayed": true, "trace": 0}} {
			o := method(t, spec.Name, 6)
			require.NoError(t, v.Only(o).Apply(o))
			told, ok := o.(Counted)
			if !ok {
				continue
			}
			c := countedPrior{m, new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)}
			p := blurProblem(t, 16, 16)
			if spec.Needs.Mask {
				p = holeProblem(t, 16, 16)
			}
			_, err := Solve(context.Background(), c, p, o, Options{Start: make([]float32, 16*16*3)})
			require.NoError(t, err)
			want := told.Calls()
			require.EqualValues(t, want.UNet.Forward, c.eps.Load(), "UNet of %s %v", spec.Name, v)
			require.InDelta(t, want.Decoder.Forward, c.decode.Load(), 1, "decoder of %s %v", spec.Name, v)
			require.InDelta(t, want.Encoder.Forward, c.encode.Load(), 1, "encoder of %s %v", spec.Name, v)
		}
	}
}
