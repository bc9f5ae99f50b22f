package clip

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxVocabBytes = 32 << 20 // of a file, after decompression; CLIP's have 3 MB
	maxVocab      = 1 << 20  // tokens, as Config.Validate allows
	maxToken      = 1 << 10  // bytes of a token; CLIP's have 256
	positions     = 77

	startText, endText = "<|startoftext|>", "<|endoftext|>"
)

// LoadTokenizer reads a vocabulary. path is a tokenizer folder of diffusers
// (vocab.json and merges.txt, and if present special_tokens_map.json and
// tokenizer_config.json), a model folder that has it as tokenizer/, or
// OpenAI's file of merges, bpe_simple_vocab_16e6.txt.gz, also unpacked.
// The error names the file and what is wrong with it.
func LoadTokenizer(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if !info.IsDir() {
		data, err := readVocab(path)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		t, err := parseMerges(data)
		if err != nil {
			return nil, fmt.Errorf("tokenizer %s: %w", path, err)
		}
		return t, nil
	}
	const name = "vocab.json"
	if _, err := os.Stat(filepath.Join(path, name)); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(path, "tokenizer", name)); err == nil {
			path = filepath.Join(path, "tokenizer")
		}
	}
	var data [4][]byte
	for i, name := range []string{name, "merges.txt", "special_tokens_map.json", "tokenizer_config.json"} {
		data[i], err = readVocab(filepath.Join(path, name))
		if i >= 2 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("tokenizer: want a folder with vocab.json and merges.txt: %w", err)
		}
	}
	t, err := parseFolder(data[0], data[1], data[2], data[3])
	if err != nil {
		return nil, fmt.Errorf("tokenizer %s: %w", path, err)
	}
	return t, nil
}

func readVocab(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readLimited(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

func readLimited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxVocabBytes+1))
	if err == nil && len(data) > maxVocabBytes {
		err = fmt.Errorf("more than %d MiB", maxVocabBytes>>20)
	}
	return data, err
}

// ByteTokenizer is a tokenizer without merges, whose 514 tokens are the bytes, the bytes that end a word, start and
// end: for tests and tiny models.
func ByteTokenizer() *Tokenizer {
	t := &Tokenizer{ids: map[string]int{}}
	t.addBytes()
	if err := t.finish(map[string]string{}); err != nil {
		panic(err) // both special tokens were added
	}
	return t
}

// parseMerges reads OpenAI's file: a header line, then a pair a line. Ids are
// by order: 256 bytes, 256 bytes that end a word, merged pairs, start, end. The
// file has more pairs than CLIP uses.
func parseMerges(data []byte) (*Tokenizer, error) {
	if bytes.HasPrefix(data, []byte{0x1F, 0x8B}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = readLimited(z); err != nil {
			return nil, err
		}
	}
	const merges = 49152 - 256 - 2
	t := &Tokenizer{ids: map[string]int{}}
	lines := strings.Split(string(data), "\n")
	if len(lines) < 1+merges {
		return nil, fmt.Errorf("%d lines, want at least %d", len(lines), 1+merges)
	}
	pairs, err := t.addMerges(lines[1 : 1+merges])
	if err != nil {
		return nil, err
	}
	t.addBytes(pairs...)
	return t, t.finish(map[string]string{})
}

// addBytes adds the tokens of OpenAI's order: bytes, bytes that end a word, merged pairs, start, end.
func (t *Tokenizer) addBytes(pairs ...[2]string) {
	add := func(token string) {
		t.ids[token] = len(t.tokens) // the last of equals, as in a Python dict
		t.tokens = append(t.tokens, token)
	}
	for _, end := range []string{"", wordEnd} {
		for _, b := range byteOrder {
			add(string(byteRunes[b]) + end)
		}
	}
	for _, p := range pairs {
		add(p[0] + p[1])
	}
	add(startText)
	add(endText)
}

// parseFolder reads the files of a tokenizer folder; special and config may be nil.
func parseFolder(vocab, merges, special, config []byte) (*Tokenizer, error) {
	t := &Tokenizer{}
	if err := json.Unmarshal(vocab, &t.ids); err != nil {
		return nil, fmt.Errorf("vocab.json: %w", err)
	}
	top := -1
	for token, id := range t.ids {
		if id < 0 || id >= maxVocab {
			return nil, fmt.Errorf("vocab.json: id %d of %.50q, want 0 to %d", id, token, maxVocab-1)
		}
		if len(token) > maxToken {
			return nil, fmt.Errorf("vocab.json: a token of %d bytes, want at most %d", len(token), maxToken)
		}
		top = max(top, id)
	}
	t.tokens = make([]string, top+1)
	for token, id := range t.ids {
		if other := t.tokens[id]; other != "" {
			return nil, fmt.Errorf("vocab.json: id %d is of %.50q and of %.50q", id, min(token, other), max(token, other))
		}
		t.tokens[id] = token
	}
	lines := strings.Split(strings.TrimSpace(string(merges)), "\n")
	if _, err := t.addMerges(lines[1:]); err != nil { // behind "#version"
		return nil, fmt.Errorf("merges.txt: %w", err)
	}
	names := map[string]string{}
	for _, f := range []struct {
		name string
		data []byte
	}{{"tokenizer_config.json", config}, {"special_tokens_map.json", special}} { // the latter wins
		if f.data == nil {
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(f.data, &fields); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		for key, raw := range fields {
			var text string
			var object struct{ Content string }
			switch {
			case !strings.HasSuffix(key, "_token"):
			case json.Unmarshal(raw, &text) == nil && text != "":
				names[key] = text
			case json.Unmarshal(raw, &object) == nil && object.Content != "":
				names[key] = object.Content
			}
		}
		var length struct {
			N float64 `json:"model_max_length"` // 1e30 where nobody set it
		}
		if json.Unmarshal(f.data, &length) == nil && length.N >= 3 && length.N <= 1<<14 {
			t.Positions = int(length.N)
		}
	}
	return t, t.finish(names)
}

// addMerges reads lines of two tokens each, the first to be merged first.
func (t *Tokenizer) addMerges(lines []string) ([][2]string, error) {
	if len(lines) > maxVocab {
		return nil, fmt.Errorf("%d merges, want at most %d", len(lines), maxVocab)
	}
	t.ranks = make(map[[2]string]int, len(lines))
	pairs := make([][2]string, len(lines))
	for i, line := range lines {
		f := strings.Fields(line)
		if len(f) != 2 || len(line) > maxToken {
			return nil, fmt.Errorf("line %d is %.50q, want two tokens", i+2, line)
		}
		pairs[i] = [2]string{f[0], f[1]}
		t.ranks[pairs[i]] = i // the last of equals, as in a Python dict
	}
	return pairs, nil
}

// finish looks up the special tokens, which names may rename.
func (t *Tokenizer) finish(names map[string]string) error {
	t.VocabSize = len(t.tokens)
	if t.Positions == 0 {
		t.Positions = positions
	}
	for _, s := range []struct {
		key, otherwise string
		id             *int
		text           *string
	}{
		{"bos_token", startText, &t.BOS, &t.bos},
		{"eos_token", endText, &t.EOS, &t.eos},
		{"pad_token", endText, &t.Pad, new(string)},
		{"unk_token", endText, &t.unk, new(string)},
	} {
		*s.text = s.otherwise
		if name, ok := names[s.key]; ok {
			*s.text = name
		}
		id, ok := t.ids[*s.text]
		if !ok {
			return fmt.Errorf("the vocabulary of %d tokens lacks the %s %.50q", t.VocabSize, s.key, *s.text)
		}
		*s.id = id
	}
	return nil
}
