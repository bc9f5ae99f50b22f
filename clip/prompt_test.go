package clip_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/clip"
	"psld/internal/golden"
	"psld/tensor/cpu"
	"psld/weights"
)

// TestParseWeights has the examples that the web UI documents, and corner cases.
func TestParseWeights(t *testing.T) {
	type s = clip.Span
	for text, want := range map[string][]s{
		"":                      nil,
		"normal text":           {{Text: "normal text", Weight: 1}},
		"an (important) word":   {{Text: "an ", Weight: 1}, {Text: "important", Weight: 1.1}, {Text: " word", Weight: 1}},
		"(unbalanced":           {{Text: "unbalanced", Weight: 1.1}},
		`\(literal\]`:           {{Text: "(literal]", Weight: 1}},
		"(unnecessary)(parens)": {{Text: "unnecessaryparens", Weight: 1.1}},
		"a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": {
			{Text: "a ", Weight: 1}, {Text: "house", Weight: 1.573}, {Text: " ", Weight: 1.1}, {Text: "on", Weight: 1},
			{Text: " a ", Weight: 1.1},
			{Text: "hill", Weight: 0.55}, {Text: ", sun, ", Weight: 1.1}, {Text: "sky", Weight: 1.4641},
			{Text: ".", Weight: 1.1},
		},
		"[a] b":                {{Text: "a", Weight: 1 / 1.1}, {Text: " b", Weight: 1}},
		"(a: -0.5 ) ratio 3:2": {{Text: "a", Weight: -0.5}, {Text: " ratio 3:2", Weight: 1}},
		"x:1.2) y)":            {{Text: "x:1.2) y)", Weight: 1}},
		"(a:1.2.3)":            {{Text: "a:1.2.3)", Weight: 1.1}},
		`a\b\\c`:               {{Text: `ab\c`, Weight: 1}},
		"a BREAK b BREAKS":     {{Text: "a", Weight: 1}, {Break: true}, {Text: "b BREAKS", Weight: 1}},
		"(a\nBREAK b:2)":       {{Text: "a", Weight: 2}, {Break: true}, {Text: "b", Weight: 2}},
		"([a) b]":              {{Text: "a", Weight: 1}, {Text: " b", Weight: 1 / 1.1}},
	} {
		got := clip.ParseWeights(text)
		require.Len(t, got, len(want), "%q: %v", text, got)
		for i := range got {
			require.InDelta(t, want[i].Weight, got[i].Weight, 1e-12, "%q: %v", text, got)
			got[i].Weight = want[i].Weight
		}
		require.Equal(t, want, got, text)
	}
}

// words returns n words of one token each.
func words(n int) string { return strings.TrimSpace(strings.Repeat("the ", n)) }

func TestChunks(t *testing.T) {
	tok := tinyVocab(t)
	the, err := tok.Encode("the")
	require.NoError(t, err)
	require.Len(t, the, 1)
	for _, c := range []struct {
		text string
		want []int // tokens in each chunk
	}{
		{"", []int{0}},
		{words(75), []int{75}},
		{words(76), []int{75, 1}},
		{words(160), []int{75, 75, 10}},
		{words(60) + "," + words(30), []int{61, 30}}, // breaks at the comma
		{words(55) + "," + words(30), []int{56, 30}}, // 20 tokens back
		{words(54) + "," + words(30), []int{75, 10}}, // 21 tokens back
		{words(75) + "," + words(3), []int{75, 4}},   // a comma does not move itself
		{words(60) + ", (" + words(30) + ")", []int{61, 30}},
		{"the BREAK the the", []int{1, 2}},
		{"the BREAK", []int{1}},
		{"BREAK the", []int{0, 1}},
	} {
		p, err := tok.Weighted(c.text)
		require.NoError(t, err)
		var got []int
		for _, chunk := range p.Chunks {
			require.Len(t, chunk.IDs, 77)
			require.Len(t, chunk.Weights, 77)
			require.Equal(t, tok.BOS, chunk.IDs[0])
			n := 0
			for chunk.IDs[n+1] != tok.EOS {
				n++
			}
			got = append(got, n)
			for i := n + 1; i < 77; i++ {
				require.Equal(t, tok.Pad, chunk.IDs[i])
				require.EqualValues(t, 1, chunk.Weights[i])
			}
		}
		require.Equal(t, c.want, got, c.text)
	}
	p, err := tok.Weighted("the (the:1.5) the")
	require.NoError(t, err)
	require.Equal(t, []float32{1, 1, 1.5, 1, 1}, p.Chunks[0].Weights[:5])
	for text, want := range map[string]string{
		"(the:1000)":                    `the weight of "the" is 1000, want at most 100`,
		strings.Repeat("a BREAK ", 100): "more than 64 chunks",
		strings.Repeat("a", 20000):      "20000 bytes, want at most 16384",
	} {
		_, err := tok.Weighted(text)
		require.ErrorContains(t, err, want)
	}
}

// TestEncodePrompt compares with the rows of Forward, weighted here.
func TestEncodePrompt(t *testing.T) {
	tok := tinyVocab(t)
	cfg := small()
	cfg.VocabSize, cfg.MaxPositions = tok.VocabSize, tok.Positions
	m := clip.New(cfg)
	// with biases: rows of mean 0 cannot be rescaled
	require.NoError(t, m.Params.Load(golden.Gen(weights.TextPart, weights.SD15)))
	long, err := tok.Weighted("a (house:1.3), [blue] sky BREAK the (((dog))) and the cat")
	require.NoError(t, err)
	short, err := tok.Plain("(nothing)")
	require.NoError(t, err)
	tok.Balance(&long, &short)
	require.Len(t, short.Chunks, 2)
	require.Equal(t, clip.EmptyTokens(tok.VocabSize, 77), short.Chunks[1].IDs)
	require.Equal(t, clip.EmptyPrompt(tok.VocabSize, 77).Chunks[0].IDs, short.Chunks[1].IDs)

	for _, p := range []clip.Prompt{long, short} {
		got, err := m.EncodePrompt(cpu.F32, p)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2 * 77, cfg.HiddenSize}, got.Shape)
		for i, c := range p.Chunks {
			g := autograd.NoGrad(cpu.F32)
			v, err := m.Forward(g, [][]int{c.IDs})
			require.NoError(t, err)
			want := make([]float64, len(v.T.Data))
			before, after := 0.0, 0.0
			for k, x := range v.T.Data {
				w := 1.0
				if c.Weights != nil {
					w = float64(c.Weights[k/cfg.HiddenSize])
				}
				want[k] = float64(x) * w
				before += float64(x)
				after += want[k]
			}
			g.Release()
			worst := 0.0
			for k := range want {
				worst = max(worst, math.Abs(want[k]*before/after-float64(got.Data[i*len(want)+k])))
			}
			require.Less(t, worst, 2e-5*math.Max(1, math.Abs(before/after)))
		}
	}
	_, err = m.EncodePrompt(cpu.F32, clip.Prompt{})
	require.ErrorContains(t, err, "no token ids")
}

func FuzzParseWeights(f *testing.F) {
	tok := tinyVocab(f)
	for _, s := range []string{"a ((b:1.2) [c] BREAK d", `\(\`, "(:1)", "(a:.)", "]](", "a:BREAK:b", "\xff(\u00e9:2)",
		strings.Repeat("the, ", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := tok.Weighted(text)
		if err != nil {
			return
		}
		for _, c := range p.Chunks {
			require.Len(t, c.IDs, tok.Positions)
			require.Len(t, c.Weights, tok.Positions)
			inRange(t, tok, c.IDs)
		}
	})
}
