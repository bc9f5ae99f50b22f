// Package clip is the text encoder of CLIP, as Stable Diffusion uses it: token
// ids to one context row per token.
package clip

import (
	"fmt"

	"psld/autograd"
	"psld/internal/config"
	"psld/nn"
	"psld/tensor"
)

// Config describes a text encoder by the fields of a text_encoder/config.json.
type Config struct {
	VocabSize        int     `json:"vocab_size"`
	MaxPositions     int     `json:"max_position_embeddings"` // tokens a prompt may have, 77
	HiddenSize       int     `json:"hidden_size"`
	IntermediateSize int     `json:"intermediate_size"`
	Layers           int     `json:"num_hidden_layers"`
	Heads            int     `json:"num_attention_heads"`
	HiddenAct        string  `json:"hidden_act"` // "quick_gelu" or "gelu"
	LayerNormEps     float32 `json:"layer_norm_eps"`
}

// SD15 returns the configuration of Stable Diffusion 1.x (CLIP ViT-L/14).
func SD15() Config {
	return Config{
		VocabSize: 49408, MaxPositions: 77, HiddenSize: 768, IntermediateSize: 3072,
		Layers: 12, Heads: 12, HiddenAct: "quick_gelu", LayerNormEps: 1e-5,
	}
}

// keys are all other keys of a CLIPTextModel. Those without values are of training, of the tokenizer, of the pooled
// output, which is not used here, or notes.
var keys = config.Keys{
	"architectures": nil, "attention_dropout": nil, "bos_token_id": nil, "dropout": nil, "dtype": nil,
	"eos_token_id":       nil,
	"initializer_factor": nil, "initializer_range": nil, "model_type": {`"clip_text_model"`}, "pad_token_id": nil,
	"projection_dim": nil, "torch_dtype": nil, "transformers_version": nil,
}

// UnknownKeys lists the keys of a text_encoder/config.json that this package does not know, in alphabetical order.
func UnknownKeys(data []byte) []string { return config.Unknown(data, Config{}, keys) }

// ParseConfig reads a text_encoder/config.json. Absent fields take the values
// of SD15.
func ParseConfig(data []byte) (Config, error) {
	c := SD15()
	if err := config.Parse(data, &c, keys); err != nil {
		return Config{}, fmt.Errorf("text encoder: %w", err)
	}
	return c, c.Validate()
}

// Validate returns an error that names the first field out of range. The
// limits are far above any known model. Whoever loads a file should hold its
// tensors against the sizes before New takes memory for them.
func (c Config) Validate() error {
	for _, f := range []struct {
		field  string
		v, max int
	}{
		{"vocab_size", c.VocabSize, 1 << 20},
		{"max_position_embeddings", c.MaxPositions, 1 << 14},
		{"hidden_size", c.HiddenSize, 1 << 14},
		{"intermediate_size", c.IntermediateSize, 1 << 16},
		{"num_hidden_layers", c.Layers, 256},
		{"num_attention_heads", c.Heads, c.HiddenSize},
	} {
		if f.v < 1 || f.v > f.max {
			return fmt.Errorf("text encoder config: %s is %d, want 1 to %d", f.field, f.v, f.max)
		}
	}
	if c.HiddenSize%c.Heads != 0 {
		return fmt.Errorf("text encoder config: hidden_size %d is no multiple of num_attention_heads %d",
			c.HiddenSize, c.Heads)
	}
	if c.HiddenAct != "quick_gelu" && c.HiddenAct != "gelu" {
		return fmt.Errorf("text encoder config: hidden_act is %q, want quick_gelu or gelu", c.HiddenAct)
	}
	if !(c.LayerNormEps > 0 && c.LayerNormEps < 1) {
		return fmt.Errorf("text encoder config: layer_norm_eps is %v, want a small positive number", c.LayerNormEps)
	}
	return nil
}

// Model is a text encoder with its parameters.
type Model struct {
	Config
	Params *nn.Params

	tokens, positions *autograd.Value // [vocab, D], [positions, D]
	layers            []encoderLayer
	finalNorm         *nn.LayerNorm
}

// encoderLayer is causal self-attention and a two-layer network, each with a
// layer norm in front and a residual around.
type encoderLayer struct {
	norm1, norm2 *nn.LayerNorm
	q, k, v, out *nn.Linear
	fc1, fc2     *nn.Linear
}

// New builds the model with zero weights; fill it with Params.Load or
// Params.Init. It panics where cfg is not valid (see Config.Validate).
func New(cfg Config) *Model {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	m := &Model{Config: cfg, Params: nn.NewParams()}
	d, p := cfg.HiddenSize, m.Params.Sub("text_model")
	m.tokens = p.Sub("embeddings.token_embedding").New("weight", cfg.VocabSize, d)
	m.positions = p.Sub("embeddings.position_embedding").New("weight", cfg.MaxPositions, d)
	for i := range cfg.Layers {
		q := p.Sub("encoder.layers.%d", i)
		m.layers = append(m.layers, encoderLayer{
			norm1: nn.NewLayerNorm(q.Sub("layer_norm1"), d, cfg.LayerNormEps),
			q:     nn.NewLinear(q.Sub("self_attn.q_proj"), d, d),
			k:     nn.NewLinear(q.Sub("self_attn.k_proj"), d, d),
			v:     nn.NewLinear(q.Sub("self_attn.v_proj"), d, d),
			out:   nn.NewLinear(q.Sub("self_attn.out_proj"), d, d),
			norm2: nn.NewLayerNorm(q.Sub("layer_norm2"), d, cfg.LayerNormEps),
			fc1:   nn.NewLinear(q.Sub("mlp.fc1"), d, cfg.IntermediateSize),
			fc2:   nn.NewLinear(q.Sub("mlp.fc2"), cfg.IntermediateSize, d),
		})
	}
	m.finalNorm = nn.NewLayerNorm(p.Sub("final_layer_norm"), d, cfg.LayerNormEps)
	return m
}

// Forward maps rows of token ids, all of one length L, to context rows
// [N, L, HiddenSize]. Padding tokens are attended to like any other, as in
// Stable Diffusion. The error tells of an id or a length that the model lacks:
// a tokenizer of another model.
func (m *Model) Forward(g *autograd.Graph, ids [][]int) (*autograd.Value, error) {
	if len(ids) == 0 || len(ids[0]) == 0 {
		return nil, fmt.Errorf("text encoder: no token ids")
	}
	length := len(ids[0])
	if length > m.MaxPositions {
		return nil, fmt.Errorf("text encoder: %d tokens, want at most %d", length, m.MaxPositions)
	}
	var flat, positions []int
	for i, row := range ids {
		if len(row) != length {
			return nil, fmt.Errorf("text encoder: row %d has %d tokens, row 0 has %d", i, len(row), length)
		}
		for j, id := range row {
			if id < 0 || id >= m.VocabSize {
				return nil, fmt.Errorf("text encoder: token id %d, want 0 to %d", id, m.VocabSize-1)
			}
			flat, positions = append(flat, id), append(positions, j)
		}
	}
	x := g.Add(
		g.Embedding(m.tokens, flat, len(ids), length),
		g.Embedding(m.positions, positions, len(ids), length))
	for i, l := range m.layers {
		if g.OnTrace != nil {
			g.Trace(fmt.Sprintf("hidden_states.%d", i), x)
		}
		x = g.Block(func(g *autograd.Graph, in []*autograd.Value) *autograd.Value {
			return l.forward(g, in[0], m.Heads, m.HiddenAct)
		}, x)
	}
	if g.OnTrace != nil {
		g.Trace(fmt.Sprintf("hidden_states.%d", len(m.layers)), x)
	}
	return m.finalNorm.Forward(g, x), nil
}

func (l *encoderLayer) forward(g *autograd.Graph, x *autograd.Value, heads int, act string) *autograd.Value {
	h := l.norm1.Forward(g, x)
	h = g.Attention(l.q.Forward(g, h), l.k.Forward(g, h), l.v.Forward(g, h), heads, true)
	x = l.out.Then(g, h, autograd.Epilogue{Add: x})
	f := tensor.QuickGELU
	if act == "gelu" {
		f = tensor.GELU
	}
	h = l.fc1.Then(g, l.norm2.Forward(g, x), autograd.Epilogue{Func: f})
	return l.fc2.Then(g, h, autograd.Epilogue{Add: x})
}
