package clip

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzLoadTokenizer(f *testing.F) {
	const dir = "../testdata/golden/tiny-sd/diffusers/tokenizer/"
	merges, err := os.ReadFile(dir + "merges.txt")
	require.NoError(f, err)
	f.Add([]byte(`{"a":0,"b</w>":1,"ab</w>":2,"<|startoftext|>":3,"<|endoftext|>":4}`),
		[]byte("#version\na b</w>\n"), []byte(`{}`))
	f.Add([]byte(`{"<|startoftext|>":1048575,"<|endoftext|>":0}`), []byte(""),
		[]byte(`{"model_max_length":1e30,"pad_token":{"content":"<|endoftext|>"}}`))
	f.Add([]byte(`{"":0}`), merges[:200], []byte(`{"unk_token":null}`))
	f.Add([]byte("\x1f\x8b\x08"), []byte("\n\n"), []byte(`[]`))
	f.Fuzz(func(t *testing.T, vocab, merges, special []byte) {
		_, _ = parseMerges(vocab)
		tok, err := parseFolder(vocab, merges, special, special)
		if err != nil {
			return
		}
		ids, _, err := tok.Tokens("ab, a b &amp; ü")
		require.NoError(t, err)
		require.Len(t, ids, tok.Positions)
		for _, id := range ids {
			require.True(t, id >= 0 && id < tok.VocabSize)
		}
		tok.Decode(ids)
	})
}
