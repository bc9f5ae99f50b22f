package nn_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/internal/golden"
	"psld/nn"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/weights"
)

// opCase is one entry of ops/index.json.
type opCase struct {
	Name    string
	Op      string
	Heads   int
	Tensors map[string][]int
}

// width is the size of a tensor's channel axis (axis 1 of NCHW, else the last).
func (c opCase) width(name string) int {
	s := c.Tensors[name]
	if len(s) == 4 {
		return s[1]
	}
	return s[len(s)-1]
}

type forward func(g *autograd.Graph, x []*autograd.Value) *autograd.Value

// modules builds the layer of each op below p. The reference cases carry
// CompVis names; rename tells those that differ from the layer's.
var modules = map[string]struct {
	build  func(p *nn.Params, c opCase) forward
	rename map[string]string
}{
	"vae_downsample": {build: func(p *nn.Params, c opCase) forward {
		return unary(nn.NewDownsample(p, c.width("x0"), false).Forward)
	}},
	"upsample_conv": {build: func(p *nn.Params, c opCase) forward {
		return unary(nn.NewUpsample(p, c.width("x0")).Forward)
	}},
	"geglu": {build: func(p *nn.Params, c opCase) forward {
		l := nn.NewLinear(p.Sub("proj"), c.width("x0"), 2*c.width("y"))
		return func(g *autograd.Graph, x []*autograd.Value) *autograd.Value { return g.GEGLU(l.Forward(g, x[0])) }
	}},
	"feed_forward": {build: func(p *nn.Params, c opCase) forward {
		l := nn.NewFeedForward(p, c.width("x0"))
		return func(g *autograd.Graph, x []*autograd.Value) *autograd.Value { return l.Forward(g, x[0], nil) }
	}},
	"self_attention": {build: func(p *nn.Params, c opCase) forward {
		l := nn.NewCrossAttention(p, c.width("x0"), c.width("x0"), c.Heads)
		return func(g *autograd.Graph, x []*autograd.Value) *autograd.Value { return l.Forward(g, x[0], x[0], nil) }
	}},
	"cross_attention": {build: func(p *nn.Params, c opCase) forward {
		l := nn.NewCrossAttention(p, c.width("x0"), c.width("x1"), c.Heads)
		return func(g *autograd.Graph, x []*autograd.Value) *autograd.Value { return l.Forward(g, x[0], x[1], nil) }
	}},
	"basic_transformer_block": {build: func(p *nn.Params, c opCase) forward {
		return binary(nn.NewBasicTransformerBlock(p, c.width("x0"), c.width("x1"), c.Heads).Forward)
	}},
	"vae_attn_block": {
		build: func(p *nn.Params, c opCase) forward {
			return unary(nn.NewAttnBlock(p, c.width("x0"), 32, 1e-6).Forward)
		},
		rename: map[string]string{"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"},
	},
	"unet_resblock": {
		build: func(p *nn.Params, c opCase) forward {
			return binary(nn.NewResBlock(p, c.width("x0"), c.width("y"), c.width("x1"), 32, 1e-5).Forward)
		},
		rename: map[string]string{"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
			"norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"},
	},
}

func unary(f func(*autograd.Graph, *autograd.Value) *autograd.Value) forward {
	return func(g *autograd.Graph, x []*autograd.Value) *autograd.Value { return f(g, x[0]) }
}

func binary(f func(g *autograd.Graph, a, b *autograd.Value) *autograd.Value) forward {
	return func(g *autograd.Graph, x []*autograd.Value) *autograd.Value { return f(g, x[0], x[1]) }
}

// caseSource gives a case's weights under the layer's names.
type caseSource struct {
	t      *testing.T
	file   *weights.File
	rename map[string]string
}

func (s caseSource) name(param string) string {
	layer, kind := param[:strings.LastIndexByte(param, '.')], param[strings.LastIndexByte(param, '.'):]
	if to, ok := s.rename[layer]; ok {
		layer = to
	}
	return "w." + layer + kind
}

func (s caseSource) Read(name string, shape []int, dst []float32) error {
	data, err := s.file.Float32(s.name(name))
	copy(dst, data)
	return err
}

// nhwc reads a tensor, maps channels last.
func nhwc(t *testing.T, f *weights.File, name string) *tensor.Tensor {
	data, s := golden.F32(t, f, name)
	if len(s) == 4 {
		return tensor.FromNCHW(data, s[0], s[1], s[2], s[3])
	}
	return tensor.From(data, s...)
}

// TestGoldenModules compares outputs and the gradients of inputs and weights
// with PyTorch's, with and without checkpointing.
func TestGoldenModules(t *testing.T) {
	dir := golden.Kind(t, "ops")
	var cases []opCase
	golden.JSON(t, filepath.Join(dir, "index.json"), &cases)
	seen := map[string]bool{}
	for _, c := range cases {
		module, ok := modules[c.Op]
		if !ok {
			continue
		}
		seen[c.Op] = true
		t.Run(c.Name, func(t *testing.T) {
			f := golden.Load(t, filepath.Join(dir, c.Name+".safetensors"))
			for _, checkpoint := range []bool{false, true} {
				src := caseSource{t, f, module.rename}
				p := nn.NewParams()
				run := module.build(p, c)
				require.NoError(t, p.Load(src))
				p.RequireGrad(true)

				g := autograd.NewGraph(cpu.F32)
				g.Checkpoint = checkpoint
				x := []*autograd.Value{g.Input(nhwc(t, f, "x0"))}
				if _, ok := c.Tensors["x1"]; ok {
					x = append(x, g.Input(nhwc(t, f, "x1")))
				}
				y := run(g, x)
				want := nhwc(t, f, "y")
				require.Equal(t, want.Shape, y.T.Shape)
				golden.Check(t, "y", y.T.Data, want.Data, 2e-5)
				g.Backward(y, nhwc(t, f, "cot"))

				got := map[string]*tensor.Tensor{"grad.x0": x[0].Grad()}
				if len(x) > 1 {
					got["grad.x1"] = x[1].Grad()
				}
				for _, q := range p.All() {
					got["grad."+src.name(q.Name)] = q.Value.Grad()
				}
				checkGrads(t, f, c, got)
				g.Release()
			}
		})
	}
	for op := range modules {
		if !seen[op] {
			t.Logf("no reference case of %s in this set", op)
		}
	}
}

// checkGrads compares all gradients of a case. One that is zero in theory is
// rounding noise in the reference: it is held against the largest gradient.
func checkGrads(t *testing.T, f *weights.File, c opCase, got map[string]*tensor.Tensor) {
	want := map[string]*tensor.Tensor{}
	largest := 0.0
	for name := range c.Tensors {
		if !strings.HasPrefix(name, "grad.") {
			continue
		}
		if strings.HasPrefix(name, "grad.w.") {
			data, s := golden.F32(t, f, name)
			want[name] = tensor.From(data, s...) // weights keep the file's order
		} else {
			want[name] = nhwc(t, f, name)
		}
		largest = max(largest, maxAbs(want[name].Data))
	}
	require.Len(t, got, len(want))
	for name, w := range want {
		g := got[name]
		require.NotNil(t, g, name)
		if maxAbs(w.Data) < 1e-5*largest {
			require.Less(t, maxAbs(g.Data), 1e-4*largest, name)
			continue
		}
		golden.Check(t, name, g.Data, w.Data, 2e-5)
	}
}

func maxAbs(x []float32) float64 {
	m := 0.0
	for _, v := range x {
		m = max(m, float64(v), -float64(v))
	}
	return m
}

func TestGoldenSinusoids(t *testing.T) {
	f := golden.Load(t, filepath.Join(golden.Kind(t, "ops"), "timestep_embedding.safetensors"))
	times, _ := golden.F32(t, f, "t")
	kinds := map[string]struct {
		cosFirst bool
		shift    float32
	}{"compvis": {true, 0}, "ddpm_vae": {false, 1}}
	checked := 0
	for _, name := range f.Names() {
		kind, _, _ := strings.Cut(name, ".dim")
		c, ok := kinds[kind]
		if !ok {
			continue
		}
		want, shape := golden.F32(t, f, name)
		golden.Check(t, name, nn.Sinusoids(times, shape[1], c.cosFirst, c.shift).Data, want, 2e-5)
		checked++
	}
	require.GreaterOrEqual(t, checked, 2)
}
