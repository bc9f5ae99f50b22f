package devicetest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/unet"
	"psld/vae"
)

func TestHidden(t *testing.T) { Run(t, Hidden(cpu.F32)) }

// TestHiddenBits: values and gradients of all cases are the bits of the device that computes.
func TestHiddenBits(t *testing.T) {
	for _, c := range Check() {
		results := func(dev tensor.Device) (all [][]float32) {
			g := autograd.NewGraph(dev)
			defer g.Release()
			x := c.Values(g, c.Inputs(), true)
			y := c.Run(g, x)
			all = append(all, append([]float32{}, y.Host()...))
			g.Backward(y, nil)
			for _, v := range x {
				all = append(all, append([]float32{}, dev.Host(v.Grad())...))
			}
			return all
		}
		hidden := Hidden(cpu.F32)
		require.Equal(t, results(cpu.F32), results(hidden), c.Name)
	}
}

// networks are a small UNet with cross-attention and the two halves of a VAE, one behind the other as in a step of
// PSLD.
type networks struct {
	dev  tensor.Device
	unet *unet.Model
	vae  *vae.Model
}

// newNetworks makes them on dev; trained weights stay in host memory, frozen ones move to the device.
func newNetworks(dev tensor.Device, train bool) *networks {
	n := &networks{dev: dev,
		unet: unet.New(unet.Config{InChannels: 4, OutChannels: 4, BlockOutChannels: []int{16, 16}, LayersPerBlock: 1,
			DownBlockTypes: []string{unet.DownPlain, unet.DownCross}, UpBlockTypes: []string{unet.UpCross, unet.UpPlain},
			Heads: unet.Heads{2}, CrossAttentionDim: 8, NormNumGroups: 4, NormEps: 1e-5, FlipSinToCos: true}),
		vae: vae.New(vae.Config{InChannels: 3, LatentChannels: 4, BlockOutChannels: []int{8, 16}, LayersPerBlock: 1,
			NormNumGroups: 4, ScalingFactor: 1, MidAttention: true})}
	for _, p := range []*nn.Params{n.unet.Params, n.vae.Params} {
		p.Init(1)
		if train {
			p.RequireGrad(true)
			continue
		}
		p.Freeze(dev)
	}
	return n
}

// step returns the value, the gradient to z and, where they are trained, those of the weights.
func (n *networks) step(set func(g *autograd.Graph)) (all [][]float32, err error) {
	defer tensor.Catch(&err)
	g := autograd.NewGraph(n.dev)
	defer g.Release()
	set(g)
	keep := func(t *tensor.Tensor) { all = append(all, append([]float32{}, n.dev.Host(t)...)) }
	in := tensor.New(1, 8, 8, 4)
	for i := range in.Data {
		in.Data[i] = float32(i%7)/3 - 1
	}
	context := tensor.New(1, 5, 8)
	for i := range context.Data {
		context.Data[i] = float32(i%5) / 4
	}
	z := g.Input(in)
	eps := n.unet.Forward(g, z, []float32{500}, g.Const(context))
	x := n.vae.Decode(g, g.Sub(z, eps))
	mean := n.vae.Mean(g, n.vae.Encode(g, x))
	loss := g.Norm2(g.Sub(mean, z))
	all = append(all, []float32{float32(loss.Item())})
	keep(x.T)
	g.Backward(loss, nil)
	keep(z.Grad())
	for _, p := range []*nn.Params{n.unet.Params, n.vae.Params} {
		for _, q := range p.All() {
			if t := q.Value.Grad(); t != nil {
				keep(t)
				q.Value.ZeroGrad()
			}
		}
	}
	return all, nil
}

// ways are those in which a graph may spare memory.
var ways = map[string]func(g *autograd.Graph){
	"plain":      func(*autograd.Graph) {},
	"frugal":     func(g *autograd.Graph) { g.Frugal = true },
	"checkpoint": func(g *autograd.Graph) { g.Frugal, g.Checkpoint = true, true },
	"planned":    func(g *autograd.Graph) { g.Plan = new(autograd.Plan) },
}

// TestHiddenNetworks: a step through UNet and VAE, forward and backward, has the same bits, and leaves no memory
// behind.
func TestHiddenNetworks(t *testing.T) {
	for _, train := range []bool{false, true} {
		want, err := newNetworks(cpu.F32, train).step(ways["plain"])
		require.NoError(t, err)
		for name, set := range ways {
			dev := Hidden(cpu.F32)
			n := newNetworks(dev, train)
			var after int64
			for range 2 {
				got, err := n.step(set)
				require.NoError(t, err)
				require.Equal(t, want, got, "%s, train %v", name, train)
				if after == 0 {
					after = dev.Live() // gradients of weights stay
				}
				require.Equal(t, after, dev.Live(), "%s, train %v", name, train)
			}
			require.Equal(t, train, after > 0)
		}
	}
}

// TestOutOfMemory: wherever a step finds no memory it ends in an error, all that it had is free, and the next one
// is as good as any.
func TestOutOfMemory(t *testing.T) {
	for name, set := range ways {
		dev := Hidden(cpu.F32)
		n := newNetworks(dev, false)
		want, err := n.step(set)
		require.NoError(t, err)
		gets := dev.gets
		require.Greater(t, gets, 300)
		for at := 1; at <= gets; at += 7 {
			dev.FailAt(at)
			_, err := n.step(set)
			var none *tensor.OutOfMemory
			require.ErrorAs(t, err, &none, "%s: Get %d of %d", name, at, gets)
			require.ErrorContains(t, err, "has no memory for")
			require.Zero(t, dev.Live(), "%s: Get %d of %d", name, at, gets)
		}
		dev.FailAt(0)
		got, err := n.step(set)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// TestStop: a step that is stopped, before whichever operation, ends in the error that stopped it, and all that it had
// is free.
func TestStop(t *testing.T) {
	ended := errors.New("ended")
	for name, set := range ways {
		dev := Hidden(cpu.F32)
		n := newNetworks(dev, false)
		asked, at := 0, 1<<30
		stopping := func(g *autograd.Graph) {
			set(g)
			g.Stop = func() error {
				if asked++; asked >= at {
					return ended
				}
				return nil
			}
		}
		want, err := n.step(stopping)
		require.NoError(t, err)
		all := asked
		require.Greater(t, all, 300)
		for at = 1; at <= all; at += 7 {
			asked = 0
			_, err := n.step(stopping)
			require.ErrorIs(t, err, ended, "%s: operation %d of %d", name, at, all)
			require.Zero(t, dev.Live(), "%s: operation %d of %d", name, at, all)
		}
		got, err := n.step(set)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
