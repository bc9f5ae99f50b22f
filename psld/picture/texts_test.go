package picture

import (
	"bytes"
	"compress/zlib"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// withChunk puts a chunk behind the header of a small PNG.
func withChunk(t testing.TB, kind string, body []byte) []byte {
	var b bytes.Buffer
	require.NoError(t, EncodePNG(&b, New(8, 8)))
	const header = 8 + 25
	out := appendChunk(bytes.Clone(b.Bytes()[:header]), kind, body)
	return append(out, b.Bytes()[header:]...)
}

func packed(text string) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.Bytes()
}

// TestTexts: what is written is read, and what other programs write.
func TestTexts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.png")
	want := []Text{{"parameters", "Steps: 3\nSeed: 7"}, {"psld", `{"ä":1}`}, {"more", "猫 and dog"}, {"empty", ""}}
	require.NoError(t, Save(path, New(8, 8), want...))
	got, err := Texts(path)
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, c := range []struct {
		kind string
		body []byte
		want Text
	}{
		{"tEXt", []byte("k\x00\xe4\xff"), Text{"k", "äÿ"}},
		{"zTXt", append([]byte("k\x00\x00"), packed("text\xe4")...), Text{"k", "textä"}},
		{"iTXt", append([]byte("k\x00\x01\x00de\x00Wort\x00"), packed("猫")...), Text{"k", "猫"}},
		{"iTXt", []byte("k\x00\x00\x00\x00\x00猫"), Text{"k", "猫"}},
	} {
		got, err := ReadTexts(bytes.NewReader(withChunk(t, c.kind, c.body)))
		require.NoError(t, err)
		require.Equal(t, []Text{c.want}, got)
	}
	require.NoError(t, os.WriteFile(path, []byte("no picture"), 0o644))
	got, err = Texts(path)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestTextsErrors(t *testing.T) {
	whole := withChunk(t, "tEXt", []byte("key\x00value"))
	damaged := bytes.Clone(whole)
	damaged[8+25+8] ^= 1
	for want, data := range map[string][]byte{
		"cut off":                 whole[:50],
		"is damaged":              damaged,
		"not as the format has":   withChunk(t, "tEXt", []byte("no end")),
		"cannot be unpacked":      withChunk(t, "zTXt", []byte("k\x00\x00 not packed")),
		"more than 4 MiB":         withChunk(t, "zTXt", append([]byte("k\x00\x00"), packed(string(make([]byte, 5<<20)))...)),
		"texts have more than 4 ": withChunk(t, "tEXt", append([]byte("k\x00"), make([]byte, 5<<20)...)),
	} {
		_, err := ReadTexts(bytes.NewReader(data))
		require.ErrorContains(t, err, want)
	}
	_, err := Texts(filepath.Join(t.TempDir(), "none.png"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// FuzzReadTexts: no input may panic, or give more than is allowed.
func FuzzReadTexts(f *testing.F) {
	for _, kind := range []string{"tEXt", "zTXt", "iTXt"} {
		f.Add(withChunk(f, kind, append([]byte("k\x00\x00\x00\x00\x00"), packed("text")...)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		texts, err := ReadTexts(bytes.NewReader(data))
		n := 0
		for _, x := range texts {
			n += len(x.Value)
		}
		if err == nil && n > 2*maxText { // Latin-1 as UTF-8
			t.Fatal(n)
		}
	})
}
