package metric

import (
	"fmt"
	"math"
	"strings"

	"psld/autograd"
	"psld/nn"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/weights"
)

// inceptionFile says what FID and KID need.
const inceptionFile = "the Inception-v3 weights of pytorch-fid: " + hubInception +
	" from the releases of github.com/mseitzer/pytorch-fid, or a safetensors file of its state dictionary"

// hubInception is the file's name.
const hubInception = "pt_inception-2015-12-05-6726825d.pth"

// inceptionFlag is the command's flag that names it.
const inceptionFlag = "inception-weights"

// features is the length of what Inception says of a picture.
const features = 2048

// inceptionSide is that of the pictures that it takes.
const inceptionSide = 299

// inception is the Inception-v3 network of TensorFlow's FID, as pytorch-fid has it (Szegedy et al. 2016 with other
// poolings): a picture's features are the means of its last map. Batch norms are folded into their convolutions.
type inception struct {
	params *nn.Params
	blocks [4]block // up to the first pooling, the second one, the last auxiliary map, and the end
}

// block maps [N,H,W,C] to another map.
type block func(g *autograd.Graph, x *autograd.Value) *autograd.Value

func openInception(path string) (*inception, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return newInception(weights.NewSet(f))
}

// newInception reads the network from src, which has the names of pytorch-fid.
func newInception(src nn.Source) (*inception, error) {
	n := &inception{params: nn.NewParams()}
	n.blocks[0] = chain(
		n.conv("Conv2d_1a_3x3", 3, 32, tensor.Conv{KH: 3, KW: 3, Stride: 2}),
		n.conv("Conv2d_2a_3x3", 32, 32, tensor.Conv{KH: 3, KW: 3, Stride: 1}),
		n.conv("Conv2d_2b_3x3", 32, 64, tensor.SameConv(3)), shrinkMax)
	n.blocks[1] = chain(n.conv("Conv2d_3b_1x1", 64, 80, tensor.SameConv(1)),
		n.conv("Conv2d_4a_3x3", 80, 192, tensor.Conv{KH: 3, KW: 3, Stride: 1}), shrinkMax)
	n.blocks[2] = chain(n.a("Mixed_5b", 192, 32), n.a("Mixed_5c", 256, 64), n.a("Mixed_5d", 288, 64),
		n.b("Mixed_6a", 288), n.c("Mixed_6b", 128), n.c("Mixed_6c", 160), n.c("Mixed_6d", 160), n.c("Mixed_6e", 192))
	n.blocks[3] = chain(n.d("Mixed_7a"), n.e("Mixed_7b", 1280, sameMean), n.e("Mixed_7c", 2048, sameMax))
	return n, n.params.LoadFrozen(folded{src}, cpu.F32)
}

func chain(blocks ...block) block {
	return func(g *autograd.Graph, x *autograd.Value) *autograd.Value {
		for _, b := range blocks {
			x = b(g, x)
		}
		return x
	}
}

// beside computes branches of the same map and puts their channels together.
func beside(branches ...block) block {
	return func(g *autograd.Graph, x *autograd.Value) *autograd.Value {
		y := branches[0](g, x)
		for _, b := range branches[1:] {
			y = g.Concat(y, b(g, x))
		}
		return y
	}
}

// conv is a convolution with its norm, and ReLU.
func (n *inception) conv(name string, in, out int, c tensor.Conv) block {
	l := nn.NewConv2d(n.params.Sub("%s", name), in, out, c)
	return func(g *autograd.Graph, x *autograd.Value) *autograd.Value { return relu(g, l, x) }
}

func (n *inception) one(name string, in, out int) block {
	return n.conv(name, in, out, tensor.SameConv(1))
}

// Seven pixels in a row or column, three likewise, and three by three at stride 2.
var (
	row7  = tensor.Conv{KH: 1, KW: 7, Stride: 1, PadLeft: 3, PadRight: 3}
	col7  = tensor.Conv{KH: 7, KW: 1, Stride: 1, PadTop: 3, PadBottom: 3}
	row3  = tensor.Conv{KH: 1, KW: 3, Stride: 1, PadLeft: 1, PadRight: 1}
	col3  = tensor.Conv{KH: 3, KW: 1, Stride: 1, PadTop: 1, PadBottom: 1}
	half3 = tensor.Conv{KH: 3, KW: 3, Stride: 2}
)

func (n *inception) a(name string, in, pool int) block {
	p := name + "."
	return beside(n.one(p+"branch1x1", in, 64),
		chain(n.one(p+"branch5x5_1", in, 48), n.conv(p+"branch5x5_2", 48, 64, tensor.SameConv(5))),
		chain(n.one(p+"branch3x3dbl_1", in, 64), n.conv(p+"branch3x3dbl_2", 64, 96, tensor.SameConv(3)),
			n.conv(p+"branch3x3dbl_3", 96, 96, tensor.SameConv(3))),
		chain(sameMean, n.one(p+"branch_pool", in, pool)))
}

func (n *inception) b(name string, in int) block {
	p := name + "."
	return beside(n.conv(p+"branch3x3", in, 384, half3),
		chain(n.one(p+"branch3x3dbl_1", in, 64), n.conv(p+"branch3x3dbl_2", 64, 96, tensor.SameConv(3)),
			n.conv(p+"branch3x3dbl_3", 96, 96, half3)), shrinkMax)
}

func (n *inception) c(name string, w int) block {
	p := name + "."
	return beside(n.one(p+"branch1x1", 768, 192),
		chain(n.one(p+"branch7x7_1", 768, w), n.conv(p+"branch7x7_2", w, w, row7), n.conv(p+"branch7x7_3", w, 192, col7)),
		chain(n.one(p+"branch7x7dbl_1", 768, w), n.conv(p+"branch7x7dbl_2", w, w, col7),
			n.conv(p+"branch7x7dbl_3", w, w, row7), n.conv(p+"branch7x7dbl_4", w, w, col7),
			n.conv(p+"branch7x7dbl_5", w, 192, row7)),
		chain(sameMean, n.one(p+"branch_pool", 768, 192)))
}

func (n *inception) d(name string) block {
	p := name + "."
	return beside(chain(n.one(p+"branch3x3_1", 768, 192), n.conv(p+"branch3x3_2", 192, 320, half3)),
		chain(n.one(p+"branch7x7x3_1", 768, 192), n.conv(p+"branch7x7x3_2", 192, 192, row7),
			n.conv(p+"branch7x7x3_3", 192, 192, col7), n.conv(p+"branch7x7x3_4", 192, 192, half3)), shrinkMax)
}

func (n *inception) e(name string, in int, pool block) block {
	p := name + "."
	return beside(n.one(p+"branch1x1", in, 320),
		chain(n.one(p+"branch3x3_1", in, 384),
			beside(n.conv(p+"branch3x3_2a", 384, 384, row3), n.conv(p+"branch3x3_2b", 384, 384, col3))),
		chain(n.one(p+"branch3x3dbl_1", in, 448), n.conv(p+"branch3x3dbl_2", 448, 384, tensor.SameConv(3)),
			beside(n.conv(p+"branch3x3dbl_3a", 384, 384, row3), n.conv(p+"branch3x3dbl_3b", 384, 384, col3))),
		chain(pool, n.one(p+"branch_pool", in, 192)))
}

// Poolings over 3 x 3 pixels: at stride 2 without a border, and at every pixel, where what lies outside does not
// count.
func shrinkMax(g *autograd.Graph, x *autograd.Value) *autograd.Value { return pool3(g, x, 2, 0, false) }
func sameMax(g *autograd.Graph, x *autograd.Value) *autograd.Value   { return pool3(g, x, 1, 1, false) }
func sameMean(g *autograd.Graph, x *autograd.Value) *autograd.Value  { return pool3(g, x, 1, 1, true) }

func pool3(g *autograd.Graph, x *autograd.Value, stride, pad int, mean bool) *autograd.Value {
	in := x.T.Shape
	out := []int{in[0], (in[1]+2*pad-3)/stride + 1, (in[2]+2*pad-3)/stride + 1, in[3]}
	return g.Map(x, out, func(dst, src []float32) {
		c := in[3]
		for i := range out[0] * out[1] * out[2] {
			n, y, x := i/out[2]/out[1], i/out[2]%out[1]*stride-pad, i%out[2]*stride-pad
			d, count := dst[i*c:(i+1)*c], 0
			for yy := max(y, 0); yy < min(y+3, in[1]); yy++ {
				for xx := max(x, 0); xx < min(x+3, in[2]); xx++ {
					s := src[((n*in[1]+yy)*in[2]+xx)*c:][:c]
					switch count++; {
					case count == 1:
						copy(d, s)
					case mean:
						for j, v := range s {
							d[j] += v
						}
					default:
						for j, v := range s {
							d[j] = max(d[j], v)
						}
					}
				}
			}
			if mean {
				for j := range d {
					d[j] /= float32(count)
				}
			}
		}
	}, func(_, _ []float32) { panic("metric: no gradient through Inception") })
}

// folded gives a convolution with the batch norm behind it as one with a bias.
type folded struct{ nn.Source }

// Read implements [nn.Source].
func (f folded) Read(name string, shape []int, dst []float32) error {
	layer, kind, ok := cutLast(name)
	out := shape[0]
	norm := map[string][]float32{}
	for _, k := range []string{"weight", "bias", "running_mean", "running_var"} {
		norm[k] = make([]float32, out)
		if err := f.Source.Read(layer+".bn."+k, []int{out}, norm[k]); err != nil {
			return err
		}
	}
	if kind == "weight" && ok {
		if err := f.Source.Read(layer+".conv.weight", shape, dst); err != nil {
			return err
		}
	}
	per := len(dst) / out
	for i := range out {
		scale := float64(norm["weight"][i]) / math.Sqrt(float64(norm["running_var"][i])+1e-3)
		if kind == "bias" {
			dst[i] = float32(float64(norm["bias"][i]) - scale*float64(norm["running_mean"][i]))
			continue
		}
		for k := i * per; k < (i+1)*per; k++ {
			dst[k] = float32(scale * float64(dst[k]))
		}
	}
	return nil
}

func cutLast(name string) (before, after string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// maps are the four maps of pictures x [N,299,299,3] in [-1,1].
func (n *inception) maps(g *autograd.Graph, x *autograd.Value) (m [4]*autograd.Value) {
	for i, b := range n.blocks {
		x = b(g, x)
		m[i] = x
	}
	return m
}

// enlarged is a picture as Inception takes it, clipped to [-1,1]: bilinear, without antialiasing, to 299 x 299 pixels.
func enlarged(p *picture.Picture) (*tensor.Tensor, error) {
	if len(p.Pix) != p.W*p.H*3 {
		return nil, fmt.Errorf("metric: picture of %dx%d pixels with %d values", p.W, p.H, len(p.Pix))
	}
	a, err := operator.NewResize(p.H, p.W, 3, inceptionSide, inceptionSide, operator.Bilinear)
	if err != nil {
		return nil, err
	}
	x, clipped := tensor.New(1, inceptionSide, inceptionSide, 3), make([]float32, len(p.Pix))
	for i, v := range p.Pix {
		clipped[i] = min(max(v, -1), 1)
	}
	a.Apply(x.Data, clipped)
	return x, nil
}

// of are the features of a picture.
func (n *inception) of(p *picture.Picture) ([]float32, error) {
	x, err := enlarged(p)
	if err != nil {
		return nil, err
	}
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	return means(cpu.F32.Host(n.maps(g, g.Const(x))[3].T), features), nil
}

// means are the means of the c channels of a map.
func means(m []float32, c int) []float32 {
	sums, out := make([]float64, c), make([]float32, c)
	for i, v := range m {
		sums[i%c] += float64(v)
	}
	for i, v := range sums {
		out[i] = float32(v / float64(len(m)/c))
	}
	return out
}
