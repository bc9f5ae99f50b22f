package clip

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"psld/autograd"
	"psld/tensor"
)

// Prompt is a text as the encoder takes it: one chunk, or several for a long
// one. The encoder sees each chunk by itself.
type Prompt struct {
	Chunks []Chunk
	Cut    []int // ids that did not fit (see Tokenizer.Decode), for the caller to warn of
}

// Chunk is a row of token ids, start, end and padding included, and what each
// row of the result is to be multiplied by; nil Weights are all 1.
type Chunk struct {
	IDs     []int
	Weights []float32
}

const (
	maxChunks    = 64  // of a prompt: 4800 tokens, a context of 15 MB
	maxWeight    = 100 // magnitude of a weight
	commaTokens  = 20  // a chunk may end at a comma that is at most so far back
	bracketRatio = 1.1
)

// EmptyPrompt is the empty prompt without a vocabulary, see EmptyTokens.
func EmptyPrompt(vocabSize, positions int) Prompt {
	return Prompt{Chunks: []Chunk{{IDs: EmptyTokens(vocabSize, positions)}}}
}

// Plain is the prompt as Stable Diffusion was trained: one chunk, cut at its
// length, brackets being ordinary text.
func (t *Tokenizer) Plain(text string) (Prompt, error) {
	ids, cut, err := t.Tokens(text)
	if err != nil {
		return Prompt{}, err
	}
	return Prompt{Chunks: []Chunk{{IDs: ids}}, Cut: cut}, nil
}

// Weighted reads the prompt syntax of the AUTOMATIC1111 web UI (see
// ParseWeights) and keeps prompts of any length: every 75 tokens a new chunk begins,
// at the last comma if that is no more than 20 tokens back, and at each BREAK.
// The error tells of a prompt too long or a weight beyond 100.
func (t *Tokenizer) Weighted(text string) (Prompt, error) {
	if len(text) > MaxPromptBytes {
		return Prompt{}, fmt.Errorf("prompt: %d bytes, want at most %d", len(text), MaxPromptBytes)
	}
	comma, hasComma := t.ids[","+wordEnd]
	room := t.Positions - 2
	var p Prompt
	var ids []int // of the present chunk
	var weights []float32
	lastComma := -1 // its index in ids
	flush := func(n int) {
		c := Chunk{IDs: t.padded(ids[:n]), Weights: make([]float32, t.Positions)}
		for i := range c.Weights {
			c.Weights[i] = 1
		}
		copy(c.Weights[1:], weights[:n])
		p.Chunks = append(p.Chunks, c)
		ids, weights, lastComma = slices.Clone(ids[n:]), slices.Clone(weights[n:]), -1
	}
	for _, span := range ParseWeights(text) {
		if span.Break {
			flush(len(ids))
			continue
		}
		if !(math.Abs(span.Weight) <= maxWeight) {
			return Prompt{}, fmt.Errorf("prompt: the weight of %.50q is %g, want at most %d", span.Text, span.Weight, maxWeight)
		}
		more, err := t.Encode(span.Text)
		if err != nil {
			return Prompt{}, err
		}
		for _, id := range more {
			isComma := hasComma && id == comma
			if len(ids) == room {
				if !isComma && lastComma >= 0 && room-lastComma <= commaTokens {
					flush(lastComma + 1)
				} else {
					flush(room)
				}
			}
			if isComma {
				lastComma = len(ids)
			}
			ids, weights = append(ids, id), append(weights, float32(span.Weight))
		}
		if len(p.Chunks) > maxChunks {
			break
		}
	}
	if len(ids) > 0 || len(p.Chunks) == 0 {
		flush(len(ids))
	}
	if len(p.Chunks) > maxChunks {
		return Prompt{}, fmt.Errorf("prompt: more than %d chunks of %d tokens", maxChunks, room)
	}
	return p, nil
}

// Balance gives all prompts the number of chunks of the longest, by empty
// chunks: contexts of a guided step must have one shape.
func (t *Tokenizer) Balance(prompts ...*Prompt) {
	most := 0
	for _, p := range prompts {
		most = max(most, len(p.Chunks))
	}
	for _, p := range prompts {
		for len(p.Chunks) < most {
			p.Chunks = append(p.Chunks, Chunk{IDs: t.padded(nil)})
		}
	}
}

// EncodePrompt returns the context rows of the prompt, its chunks one behind
// the other: [1, sum of their lengths, HiddenSize]. Each row of a weighted chunk is
// multiplied by its weight, then the chunk so that its mean is as before (the
// web UI's emphasis mode "Original"). dev is the device that the weights are loaded for. Errors are those of Forward.
func (m *Model) EncodePrompt(dev tensor.Device, p Prompt) (*tensor.Tensor, error) {
	g := autograd.NoGrad(dev)
	defer g.Release()
	ids := make([][]int, len(p.Chunks))
	for i, c := range p.Chunks {
		ids[i] = c.IDs
	}
	v, err := m.Forward(g, ids)
	if err != nil {
		return nil, err
	}
	rows, d := v.T.Dim(1), v.T.Dim(2)
	out := tensor.From(slices.Clone(v.Host()), 1, len(ids)*rows, d)
	for i, c := range p.Chunks {
		if c.Weights == nil {
			continue
		}
		if len(c.Weights) != rows {
			return nil, fmt.Errorf("text encoder: chunk %d has %d weights for %d tokens", i, len(c.Weights), rows)
		}
		if err := emphasise(out.Data[i*rows*d:(i+1)*rows*d], c.Weights); err != nil {
			return nil, fmt.Errorf("text encoder: chunk %d: %w", i, err)
		}
	}
	return out, nil
}

// emphasise multiplies row i of z [len(weights), D] by weights[i] and all by what keeps the mean.
func emphasise(z, weights []float32) error {
	if !slices.ContainsFunc(weights, func(w float32) bool { return w != 1 }) {
		return nil // exact
	}
	d := len(z) / len(weights)
	before, after := 0.0, 0.0
	for i, w := range weights {
		for k := i * d; k < (i+1)*d; k++ {
			before += float64(z[k])
			z[k] *= w
			after += float64(z[k])
		}
	}
	scale := float32(before / after)
	if math.IsNaN(float64(scale)) || math.IsInf(float64(scale), 0) {
		return fmt.Errorf("weights bring the mean to 0, which no factor can undo")
	}
	for k := range z {
		z[k] *= scale
	}
	return nil
}

// Span is a piece of a prompt with its weight, or a BREAK between two pieces.
type Span struct {
	Text   string
	Weight float64
	Break  bool
}

var (
	promptToken = regexp.MustCompile(`\\[\\()\[\]]?|[(\[)\]]|:\s*([+-]?[0-9.]+)\s*\)|[^\\()\[\]:]+|:`)
	breakWord   = regexp.MustCompile(`\s*\bBREAK\b\s*`)
)

// ParseWeights reads the attention syntax of the AUTOMATIC1111 web UI (its wiki,
// "Features", Attention/emphasis): (text) multiplies the weight of text by
// 1.1, [text] divides by it, (text:1.5) multiplies by 1.5; brackets nest, a
// bracket left open reaches to the end, and a backslash takes a bracket or a
// backslash literally (alone it vanishes). BREAK as a word of its own parts the text; other than in
// the web UI this also holds within brackets. Neighbours of one weight are joined.
func ParseWeights(text string) []Span {
	var spans []Span
	var open []int // index of the first span of each bracket, by kind
	var kinds []byte
	scale := func(from int, factor float64) {
		for i := from; i < len(spans); i++ {
			spans[i].Weight *= factor
		}
	}
	// closing ends the innermost open bracket of the kind, if there is one.
	// Those of the other kind may stay open.
	closing := func(kind byte, factor float64) bool {
		for i := len(kinds) - 1; i >= 0; i-- {
			if kinds[i] == kind {
				scale(open[i], factor)
				open, kinds = slices.Delete(open, i, i+1), slices.Delete(kinds, i, i+1)
				return true
			}
		}
		return false
	}
	for _, m := range promptToken.FindAllStringSubmatch(text, -1) {
		token := m[0]
		switch {
		case token[0] == '\\':
			spans = append(spans, Span{Text: token[1:], Weight: 1})
			continue
		case token == "(" || token == "[":
			open, kinds = append(open, len(spans)), append(kinds, token[0])
			continue
		case token == ")" && closing('(', bracketRatio), token == "]" && closing('[', 1/bracketRatio):
			continue
		case m[1] != "":
			if w, err := strconv.ParseFloat(m[1], 64); err == nil && closing('(', w) {
				continue
			}
		}
		for i, part := range breakWord.Split(token, -1) {
			if i > 0 {
				spans = append(spans, Span{Break: true})
			}
			spans = append(spans, Span{Text: part, Weight: 1})
		}
	}
	for i, kind := range kinds {
		if kind == '(' {
			scale(open[i], bracketRatio)
		} else {
			scale(open[i], 1/bracketRatio)
		}
	}
	return joined(spans)
}

// joined puts neighbours of one weight together and drops empty pieces.
func joined(spans []Span) []Span {
	var out []Span
	var b []string // texts of the last piece of out
	end := func() {
		if len(b) > 0 {
			out[len(out)-1].Text = strings.Join(b, "")
			b = nil
		}
	}
	for _, s := range spans {
		switch {
		case s.Break:
			end()
			out = append(out, s)
		case s.Text == "":
		case len(b) > 0 && out[len(out)-1].Weight == s.Weight:
			b = append(b, s.Text)
		default:
			end()
			out = append(out, s)
			b = []string{s.Text}
		}
	}
	end()
	return out
}
