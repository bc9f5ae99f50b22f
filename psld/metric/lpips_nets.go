package metric

import (
	"fmt"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
)

// architecture is a classifier of torchvision, up to the last feature that LPIPS looks at.
type architecture struct {
	title string
	heads string // of the heads' names
	file  string // torchvision's
	build func(n *network)
}

var alexNet = architecture{"AlexNet", "alex", "alexnet-owt-7be5be79.pth", func(n *network) {
	n.conv(0, 3, 64, tensor.Conv{KH: 11, KW: 11, Stride: 4, PadTop: 2, PadLeft: 2, PadBottom: 2, PadRight: 2})
	n.tap()
	n.pool(3, false)
	n.conv(3, 64, 192, tensor.SameConv(5))
	n.tap()
	n.pool(3, false)
	n.conv(6, 192, 384, tensor.SameConv(3))
	n.tap()
	n.conv(8, 384, 256, tensor.SameConv(3))
	n.tap()
	n.conv(10, 256, 256, tensor.SameConv(3))
	n.tap()
}}

var squeezeNet = architecture{"SqueezeNet 1.1", "squeeze", "squeezenet1_1-b8a52dc0.pth", func(n *network) {
	n.conv(0, 3, 64, tensor.Conv{KH: 3, KW: 3, Stride: 2})
	n.tap()
	n.pool(3, true)
	n.fire(3, 64, 16, 64)
	n.fire(4, 128, 16, 64)
	n.tap()
	n.pool(3, true)
	n.fire(6, 128, 32, 128)
	n.fire(7, 256, 32, 128)
	n.tap()
	n.pool(3, true)
	n.fire(9, 256, 48, 192)
	n.tap()
	n.fire(10, 384, 48, 192)
	n.tap()
	n.fire(11, 384, 64, 256)
	n.tap()
	n.fire(12, 512, 64, 256)
	n.tap()
}}

var vgg16 = architecture{"VGG16", "vgg", "vgg16-397923af.pth", func(n *network) {
	at, in := 0, 3
	for stage, convs := range []int{2, 2, 3, 3, 3} {
		out := min(64<<stage, 512)
		for range convs {
			n.conv(at, in, out, tensor.SameConv(3))
			at, in = at+2, out
		}
		n.tap()
		at++
		if stage < 4 {
			n.pool(2, false)
		}
	}
}}

// network is a chain of layers; taps are the numbers of layers after which a feature is taken.
type network struct {
	arch   architecture
	params *nn.Params
	layers []func(g *autograd.Graph, x *autograd.Value) *autograd.Value
	sizes  []func(side int) int // what each layer makes of a side
	taps   []int
	least  int // pixels a side that leave one at the last tap
}

func newNetwork(arch architecture) *network {
	n := &network{arch: arch, params: nn.NewParams()}
	arch.build(n)
	for n.least = 1; !n.fits(n.least); n.least++ {
	}
	return n
}

func (n *network) fits(side int) bool {
	for _, f := range n.sizes {
		if side = f(side); side < 1 {
			return false
		}
	}
	return true
}

func (n *network) add(size func(int) int, f func(g *autograd.Graph, x *autograd.Value) *autograd.Value) {
	n.layers, n.sizes = append(n.layers, f), append(n.sizes, size)
}

func (n *network) tap() { n.taps = append(n.taps, len(n.layers)) }

// conv adds convolution "features.at" and ReLU.
func (n *network) conv(at, in, out int, c tensor.Conv) {
	l := nn.NewConv2d(n.params.Sub("features.%d", at), in, out, c)
	n.add(func(side int) int { // integer division rounds a window that does not fit to one that does
		if h, _ := c.Out(side, side); side+c.PadTop+c.PadBottom >= c.KH {
			return h
		}
		return 0
	}, func(g *autograd.Graph, x *autograd.Value) *autograd.Value { return relu(g, l, x) })
}

func relu(g *autograd.Graph, l *nn.Conv2d, x *autograd.Value) *autograd.Value {
	return l.Then(g, x, autograd.Epilogue{Func: tensor.ReLU})
}

// fire adds the block of SqueezeNet: 1x1 to squeeze channels, then 1x1 and 3x3 to expand channels each, side by side.
func (n *network) fire(at, in, squeeze, expand int) {
	p := n.params.Sub("features.%d", at)
	s := nn.NewConv2d(p.Sub("squeeze"), in, squeeze, tensor.SameConv(1))
	one := nn.NewConv2d(p.Sub("expand1x1"), squeeze, expand, tensor.SameConv(1))
	three := nn.NewConv2d(p.Sub("expand3x3"), squeeze, expand, tensor.SameConv(3))
	n.add(func(side int) int { return side }, func(g *autograd.Graph, x *autograd.Value) *autograd.Value {
		y := relu(g, s, x)
		return g.Concat(relu(g, one, y), relu(g, three, y))
	})
}

// pool adds a maximum over k x k pixels at stride 2. With up, a last window that lies partly outside counts.
func (n *network) pool(k int, up bool) {
	size := func(side int) int {
		switch {
		case up && side >= k-1:
			return (side-k+1)/2 + 1
		case side >= k:
			return (side-k)/2 + 1
		}
		return 0
	}
	n.add(size, func(g *autograd.Graph, x *autograd.Value) *autograd.Value {
		s := append([]int(nil), x.T.Shape...)
		in := append([]int(nil), s...)
		s[1], s[2] = size(in[1]), size(in[2])
		return g.Map(x, s, func(dst, src []float32) { maxPool(dst, src, in, s, k) },
			func(_, _ []float32) { panic("metric: no gradient through a maximum") })
	})
}

// maxPool is the maximum over k x k pixels at stride 2 of src in [N,H,W,C], cut at the border: dst [out].
func maxPool(dst, src []float32, in, out []int, k int) {
	c := in[3]
	for i := range out[0] * out[1] * out[2] {
		n, y, x := i/out[2]/out[1], i/out[2]%out[1]*2, i%out[2]*2
		d := dst[i*c : (i+1)*c]
		for j := range d {
			d[j] = src[((n*in[1]+y)*in[2]+x)*c+j]
		}
		for yy := y; yy < min(y+k, in[1]); yy++ {
			for xx := x; xx < min(x+k, in[2]); xx++ {
				for j, v := range src[((n*in[1]+yy)*in[2]+xx)*c:][:c] {
					d[j] = max(d[j], v)
				}
			}
		}
	}
}

// forward returns the features at the taps for x [N,H,W,3].
func (n *network) forward(g *autograd.Graph, x *autograd.Value) []*autograd.Value {
	var features []*autograd.Value
	for i, layer := range n.layers {
		x = layer(g, x)
		if len(features) < len(n.taps) && n.taps[len(features)] == i+1 {
			features = append(features, x)
		}
	}
	if len(features) != len(n.taps) {
		panic(fmt.Sprintf("metric: %s has %d features, want %d", n.arch.title, len(features), len(n.taps)))
	}
	return features
}
