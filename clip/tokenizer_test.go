package clip_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"psld/clip"
	"psld/internal/golden"
)

const tinyFolder = "../testdata/golden/tiny-sd/diffusers/tokenizer"

// fullVocab finds CLIP's vocabulary, or skips the test.
func fullVocab(t testing.TB) *clip.Tokenizer {
	path := os.Getenv("PSLD_CLIP_VOCAB")
	if path == "" {
		path = filepath.Join(golden.Root(), "..", "shared", "clip-vocab", "bpe_simple_vocab_16e6.txt.gz")
		if _, err := os.Stat(path); err != nil {
			t.Skip("CLIP's vocabulary is not here: set PSLD_CLIP_VOCAB to bpe_simple_vocab_16e6.txt.gz")
		}
	}
	tok, err := clip.LoadTokenizer(path)
	require.NoError(t, err)
	return tok
}

func tinyVocab(t testing.TB) *clip.Tokenizer {
	tok, err := clip.LoadTokenizer(tinyFolder)
	require.NoError(t, err)
	return tok
}

func TestTokenizerGolden(t *testing.T) {
	tok := fullVocab(t)
	require.Equal(t, [5]int{49408, 77, 49406, 49407, 49407}, [5]int{tok.VocabSize, tok.Positions, tok.BOS,
		tok.EOS, tok.Pad})
	var rows []struct {
		Prompt, Cleaned string
		CleanedOpenAI   string `json:"cleaned_openai"`
		IDs             []int
		Padded77        []int
		Truncated       bool
	}
	golden.JSON(t, filepath.Join(golden.Kind(t, "tokenizer"), "prompts.json"), &rows)
	require.NotEmpty(t, rows)
	for _, r := range rows {
		require.Equal(t, r.CleanedOpenAI, clip.Clean(r.Prompt))
		ids, err := tok.Encode(r.Prompt)
		require.NoError(t, err)
		require.Equal(t, r.IDs, ids, r.Prompt)
		padded, cut, err := tok.Tokens(r.Prompt)
		require.NoError(t, err)
		require.Equal(t, r.Padded77, padded, r.Prompt)
		require.Equal(t, r.Truncated, len(cut) > 0, r.Prompt)
		require.Equal(t, r.IDs, append(ids[:min(75, len(ids))], cut...))
	}
}

// TestPrompts compares with testdata/prompts.json or another file of that form.
func TestPrompts(t *testing.T) {
	path := os.Getenv("PSLD_CLIP_PROMPTS")
	if path == "" {
		path = "testdata/prompts.json"
	}
	var rows []struct {
		Text, Clean string
		IDs, Tiny   []int
	}
	golden.JSON(t, path, &rows)
	tiny := tinyVocab(t)
	var full *clip.Tokenizer
	t.Run("vocab", func(t *testing.T) { full = fullVocab(t) })
	wrong := 0
	for _, r := range rows {
		ids, err := tiny.Encode(r.Text)
		require.NoError(t, err)
		ok := clip.Clean(r.Text) == r.Clean && slices.Equal(r.Tiny, ids)
		if full != nil {
			got, err := full.Encode(r.Text)
			require.NoError(t, err)
			ok = ok && slices.Equal(r.IDs, got)
		}
		if !ok {
			if wrong++; wrong <= 40 {
				t.Errorf("%+q\n got %+q\nwant %+q", r.Text, clip.Clean(r.Text), r.Clean)
			}
		}
	}
	t.Logf("%d of %d texts differ", wrong, len(rows))
}

func inRange(t *testing.T, tok *clip.Tokenizer, ids []int) {
	for _, id := range ids {
		require.True(t, id >= 0 && id < tok.VocabSize, id)
	}
}

func TestDecode(t *testing.T) {
	tok := tinyVocab(t)
	text := strings.Repeat("the dog and the cat ", 20)
	ids, cut, err := tok.Tokens(text)
	require.NoError(t, err)
	require.Len(t, ids, 77)
	all, err := tok.Encode(text)
	require.NoError(t, err)
	require.Equal(t, all[75:], cut)
	require.True(t, strings.HasSuffix(strings.TrimSpace(text), tok.Decode(cut)), tok.Decode(cut))
	require.Equal(t, "", tok.Decode([]int{-1, 1 << 30}))
}

// TestMergeOrder holds the merging against the definition, one pair after the
// other, for vocabularies whose merges come in any order.
func TestMergeOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "c", "a</w>", "b</w>", "c</w>"}
	for range 200 {
		ids := map[string]int{}
		for _, s := range append([]string{"<|startoftext|>", "<|endoftext|>"}, parts...) {
			ids[s] = len(ids)
		}
		all, merges, rank := slices.Clone(parts), []string{"#version"}, map[[2]string]int{}
		for len(rank) < 25 {
			x, y := all[rnd.IntN(len(all))], all[rnd.IntN(len(all))]
			if _, ok := rank[[2]string{x, y}]; ok || strings.HasSuffix(x, "</w>") || len(x+y) > 12 {
				continue
			}
			rank[[2]string{x, y}] = len(rank)
			merges = append(merges, x+" "+y)
			all = append(all, x+y)
			if _, ok := ids[x+y]; !ok {
				ids[x+y] = len(ids)
			}
		}
		rnd.Shuffle(len(merges)-1, func(i, j int) { merges[i+1], merges[j+1] = merges[j+1], merges[i+1] })
		for i, line := range merges[1:] {
			x, y, _ := strings.Cut(line, " ")
			rank[[2]string{x, y}] = i
		}
		vocab, err := json.Marshal(ids)
		require.NoError(t, err)
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "vocab.json"), vocab, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "merges.txt"), []byte(strings.Join(merges, "\n")), 0o600))
		tok, err := clip.LoadTokenizer(dir)
		require.NoError(t, err)
		for range 20 {
			word := make([]byte, 1+rnd.IntN(14))
			for i := range word {
				word[i] = 'a' + byte(rnd.IntN(3))
			}
			var want []int
			for _, s := range mergeAll(string(word), rank) {
				want = append(want, ids[s])
			}
			got, err := tok.Encode(string(word))
			require.NoError(t, err)
			require.Equal(t, want, got, "%s %v", word, merges)
		}
	}
}

func mergeAll(word string, rank map[[2]string]int) []string {
	parts := strings.Split(word, "")
	parts[len(parts)-1] += "</w>"
	for {
		var best [2]string
		found := false
		for i := range len(parts) - 1 {
			p := [2]string{parts[i], parts[i+1]}
			if r, ok := rank[p]; ok && (!found || r < rank[best]) {
				best, found = p, true
			}
		}
		if !found {
			return parts
		}
		var out []string
		for i := 0; i < len(parts); i++ {
			if i+1 < len(parts) && parts[i] == best[0] && parts[i+1] == best[1] {
				out = append(out, parts[i]+parts[i+1])
				i++
			} else {
				out = append(out, parts[i])
			}
		}
		parts = out
	}
}

func TestLoadTokenizer(t *testing.T) {
	tok := tinyVocab(t)
	require.Equal(t, [5]int{1000, 77, 998, 999, 999}, [5]int{tok.VocabSize, tok.Positions, tok.BOS, tok.EOS, tok.Pad})
	viaModel, err := clip.LoadTokenizer(filepath.Dir(tinyFolder))
	require.NoError(t, err)
	require.Equal(t, tok, viaModel)

	const vocab, merges = `{"a</w>":0,"!":1,"<|startoftext|>":2,"<|endoftext|>":3}`, "#version: 0.2\n"
	for _, c := range []struct{ file, data, want string }{
		{"vocab.json", `{"a":-1}`, `id -1 of "a"`},
		{"vocab.json", `{"a":99999999999}`, "id 99999999999"},
		{"vocab.json", `{"a":1,"b":1}`, `id 1 is of "a" and of "b"`},
		{"vocab.json", `[1]`, "vocab.json"},
		{"vocab.json", `null`, "0 tokens lacks the bos_token"},
		{"vocab.json", `{"<|startoftext|>":0}`, "lacks the eos_token"},
		{"merges.txt", "#version\na b c", `line 2 is "a b c"`},
		{"special_tokens_map.json", `{"pad_token":"?"}`, `lacks the pad_token "?"`},
		{"tokenizer_config.json", `{`, "tokenizer_config.json"},
		{"special_tokens_map.json", `{"pad_token":{"content":"!"},"bos_token":"<|startoftext|>"}`, ""},
	} {
		dir := t.TempDir()
		for name, data := range map[string]string{"vocab.json": vocab, "merges.txt": merges, c.file: c.data} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
		}
		tok, err := clip.LoadTokenizer(dir)
		if c.want != "" {
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, dir)
			continue
		}
		require.NoError(t, err)
		ids, _, err := tok.Tokens("a b")
		require.NoError(t, err)
		require.Equal(t, []int{2, 0, 3, 3, 1}, ids[:5]) // "b" is unknown
	}
	_, err = clip.LoadTokenizer(filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "none")
	_, err = clip.LoadTokenizer(t.TempDir())
	require.ErrorContains(t, err, "vocab.json and merges.txt")
	file := filepath.Join(t.TempDir(), "v.txt.gz")
	for data, want := range map[string]string{"x\na b\n": "3 lines, want at least 48895", "\x1f\x8b\x00": "v.txt.gz"} {
		require.NoError(t, os.WriteFile(file, []byte(data), 0o600))
		_, err := clip.LoadTokenizer(file)
		require.ErrorContains(t, err, want)
	}
	// A small file that unpacks to a large one.
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	for range 40 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(file, bomb.Bytes(), 0o600))
	_, err = clip.LoadTokenizer(file)
	require.ErrorContains(t, err, "more than 32 MiB")
}

func FuzzEncode(f *testing.F) {
	tok := tinyVocab(f)
	for _, s := range []string{"a photo", "\xff\xfe", "Ã©â€™", "&#x110000;&amp", "'ſ<|startoftext|>", "ΑΣ. İ",
		"\x1b[31m", "ГўВЂВ“ a", strings.Repeat("&amp;", 50)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 {
			return
		}
		ids, err := tok.Encode(text)
		require.NoError(t, err)
		inRange(t, tok, ids)
		require.True(t, utf8.ValidString(clip.Clean(text)))
		padded, cut, err := tok.Tokens(text)
		require.NoError(t, err)
		require.Len(t, padded, 77)
		require.Len(t, cut, max(0, len(ids)-75))
	})
}

func Example_tokenizer() {
	tok, err := clip.LoadTokenizer("../testdata/golden/tiny-sd/diffusers/tokenizer") // or bpe_simple_vocab_16e6.txt.gz
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, cut, err := tok.Tokens("I’m in the RAIN &amp; you?")
	fmt.Println(ids[:12], len(ids), len(cut), err)
	p, _ := tok.Weighted("the (garden:1.2)")
	fmt.Println(p.Chunks[0].Weights[:6])
	// Output:
	// [998 328 880 530 518 559 530 261 592 286 999 999] 77 0 <nil>
	// [1 1 1.2 1.2 1.2 1.2]
}
