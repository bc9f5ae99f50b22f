package clip

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"psld/clip/internal/fixtext"
)

// MaxPromptBytes is the longest text that a Tokenizer takes.
const MaxPromptBytes = 16 << 10

// Tokenizer turns text into token ids as OpenAI's CLIP does
// (https://github.com/openai/CLIP, SimpleTokenizer): clean-up, lower case,
// words, and byte pair encoding in each word. It does not change after
// [LoadTokenizer] and is safe for concurrent use.
type Tokenizer struct {
	VocabSize     int // ids are below
	Positions     int // ids in a prompt with its start, end and padding: 77
	BOS, EOS, Pad int // ids of start, end and padding; Pad is EOS in Stable Diffusion 1.x

	ids    map[string]int    // of a token, whose bytes are written as byteRunes
	tokens []string          // by id
	ranks  map[[2]string]int // of pairs to merge, the first merged first
	bos    string            // text of the start token
	eos    string
	unk    int // id of a token that the vocabulary lacks
}

// wordEnd is the end of a token that ends a word.
const wordEnd = "</w>"

// byteRunes are the characters that stand for bytes in a vocabulary: printable
// ones of Latin-1 for themselves, in byteOrder before the others, which are
// numbered from U+0100.
var (
	byteOrder []byte
	byteRunes [256]rune
	runeBytes = map[rune]byte{}
)

func init() {
	var others []byte
	for b := range 256 {
		if b > ' ' && b < 0x7F || b > 0xA0 && b != 0xAD {
			byteOrder = append(byteOrder, byte(b))
			byteRunes[b] = rune(b)
		} else {
			byteRunes[b] = rune(0x100 + len(others))
			others = append(others, byte(b))
		}
	}
	byteOrder = append(byteOrder, others...)
	for b, r := range byteRunes {
		runeBytes[r] = byte(b)
	}
}

// Clean is the text that Encode splits into tokens: mojibake and HTML entities
// resolved, white space single, small letters. It is what CLIP does with
// ftfy.fix_text, html.unescape (twice), strip and lower in Python.
func Clean(text string) string {
	text = fixtext.Fix(text)
	text = fixtext.UnescapeHTML(fixtext.UnescapeHTML(text))
	text = strings.Join(strings.Fields(text), " ")
	return lower(text)
}

// lower is Python's str.lower: strings.ToLower, but İ keeps its dot and Σ at
// the end of a word is ς (the Unicode Standard, 3.13, Final_Sigma).
func lower(text string) string {
	if !strings.ContainsAny(text, "İΣ") {
		return strings.ToLower(text)
	}
	rs := []rune(text)
	casedNext := func(from, step int) bool {
		for i := from; i >= 0 && i < len(rs); i += step {
			if !unicode.In(rs[i], caseIgnorable...) && !strings.ContainsRune(midWord, rs[i]) {
				return unicode.In(rs[i], cased...)
			}
		}
		return false
	}
	var out strings.Builder
	for i, r := range rs {
		switch {
		case r == 'İ':
			out.WriteString("i\u0307")
		case r == 'Σ' && casedNext(i-1, -1) && !casedNext(i+1, 1):
			out.WriteRune('ς')
		default:
			out.WriteRune(unicode.ToLower(r))
		}
	}
	return out.String()
}

// The Unicode properties Cased and Case_Ignorable; the latter also has midWord.
var (
	cased = []*unicode.RangeTable{unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Uppercase,
		unicode.Other_Lowercase}
	caseIgnorable = []*unicode.RangeTable{unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk}
)

const midWord = "'.:·\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a"

// Encode returns the ids of text, without start, end and padding. The error
// tells of a text longer than MaxPromptBytes.
func (t *Tokenizer) Encode(text string) ([]int, error) {
	if len(text) > MaxPromptBytes {
		return nil, fmt.Errorf("prompt: %d bytes, want at most %d", len(text), MaxPromptBytes)
	}
	ids := []int{}
	for text = Clean(text); text != ""; {
		n := wordLen(text)
		if n == 0 {
			_, n = utf8.DecodeRuneInString(text)
		} else if word := text[:n]; word == t.bos {
			ids = append(ids, t.BOS)
		} else if word == t.eos {
			ids = append(ids, t.EOS)
		} else {
			ids = t.appendWord(ids, word)
		}
		text = text[n:]
	}
	return ids, nil
}

// wholeWords are found before anything else. Case does not matter, and "ſ"
// counts as a case of "s".
var wholeWords = []string{"<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// wordLen is the length in bytes of the word that text starts with, 0 where
// none does: a whole word, a run of letters, one digit, or a run of anything
// else but white space.
func wordLen(text string) int {
	for _, w := range wholeWords {
		if n := foldedPrefix(text, w); n > 0 {
			return n
		}
	}
	kind, n := kindOf(text), 0
	for kind != 0 && kindOf(text[n:]) == kind {
		_, size := utf8.DecodeRuneInString(text[n:])
		n += size
		if kind == 'N' {
			break
		}
	}
	return n
}

// kindOf the first character: 'L'etter, 'N'umber, 'O'ther, 0 for white space and
// the end. U+0345, a mark with a capital that is a letter, is in no class of a
// regular expression that ignores case.
func kindOf(text string) byte {
	r, n := utf8.DecodeRuneInString(text)
	switch {
	case n == 0, r == 0x345, unicode.IsSpace(r):
		return 0
	case unicode.IsLetter(r):
		return 'L'
	case unicode.IsNumber(r):
		return 'N'
	}
	return 'O'
}

// foldedPrefix is the number of bytes of text that equal word but for case, or 0.
func foldedPrefix(text, word string) int {
	n := 0
	for _, want := range word {
		r, size := utf8.DecodeRuneInString(text[n:])
		if r != want && unicode.ToLower(r) != want && (r != 'ſ' || want != 's') {
			return 0
		}
		n += size
	}
	return n
}

// appendWord appends the ids of one word: byte pairs are merged, the pair that
// comes first in the list everywhere, then the next, until none is left.
func (t *Tokenizer) appendWord(ids []int, word string) []int {
	var b strings.Builder
	var cuts []int // parts of the written word, part i is [cuts[i], cuts[i+1])
	for _, c := range []byte(word) {
		cuts = append(cuts, b.Len())
		b.WriteRune(byteRunes[c])
	}
	b.WriteString(wordEnd)
	w := b.String()
	cuts = append(cuts, len(w))
	const none = 1 << 30
	rank := func(i int) int { // of parts i and i+1
		if i+2 < len(cuts) {
			if r, ok := t.ranks[[2]string{w[cuts[i]:cuts[i+1]], w[cuts[i+1]:cuts[i+2]]}]; ok {
				return r
			}
		}
		return none
	}
	ranks := make([]int, len(cuts)-1)
	for i := range ranks {
		ranks[i] = rank(i)
	}
	for {
		best := none
		for _, r := range ranks {
			best = min(best, r)
		}
		if best == none {
			break
		}
		n := 0 // parts kept
		for i := 0; i < len(ranks); n++ {
			cuts[n], ranks[n] = cuts[i], ranks[i]
			if ranks[i] == best {
				ranks[n] = -1 // new, to be looked up
				i++
			}
			i++
		}
		cuts[n] = len(w)
		cuts, ranks = cuts[:n+1], ranks[:n]
		for i := range ranks {
			if ranks[i] < 0 || i+1 < n && ranks[i+1] < 0 { // new, or before a new one
				ranks[i] = rank(i)
			}
		}
	}
	for i := range ranks {
		id, ok := t.ids[w[cuts[i]:cuts[i+1]]]
		if !ok {
			id = t.unk
		}
		ids = append(ids, id)
	}
	return ids
}

// Decode is the text of ids, for messages: tokens that end a word are followed
// by a space. Ids that the vocabulary lacks are left out.
func (t *Tokenizer) Decode(ids []int) string {
	var out []byte
	for _, id := range ids {
		if id < 0 || id >= len(t.tokens) {
			continue
		}
		token, ends := strings.CutSuffix(t.tokens[id], wordEnd)
		for _, r := range token {
			if b, ok := runeBytes[r]; ok {
				out = append(out, b)
			}
		}
		if ends {
			out = append(out, ' ')
		}
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(out)), "\uFFFD")
}

// Tokens returns the Positions ids of a prompt: start, the ids of the text as
// far as they fit, end, padding. What does not fit is in cut (Decode tells the
// text), for the caller to warn of.
func (t *Tokenizer) Tokens(text string) (ids, cut []int, err error) {
	all, err := t.Encode(text)
	if err != nil {
		return nil, nil, err
	}
	n := min(len(all), t.Positions-2)
	return t.padded(all[:n]), all[n:], nil
}

// padded puts ids between start and end, and padding behind.
func (t *Tokenizer) padded(ids []int) []int {
	out := append([]int{t.BOS}, ids...)
	out = append(out, t.EOS)
	for len(out) < t.Positions {
		out = append(out, t.Pad)
	}
	return out
}

// EmptyTokens returns the ids of the empty prompt for a text encoder of this
// vocabulary size and number of positions (49408 and 77 for Stable Diffusion
// 1.x), without a vocabulary: start and end are the last two ids of every
// vocabulary of CLIP, and the end is the padding.
func EmptyTokens(vocabSize, positions int) []int {
	ids := make([]int, positions)
	for i := range ids {
		ids[i] = vocabSize - 1
	}
	ids[0] = vocabSize - 2
	return ids
}
