package fixtext

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// charset is a single-byte encoding whose first half is ASCII. It is "sloppy":
// a byte that the standard leaves open stands for the C1 control of its
// number, and U+FFFD is written as byte 0x1A, which therefore stands for
// nothing else.
type charset struct {
	sloppy bool
	decode [256]rune
	encode map[rune]byte
}

func newCharset(table *charmap.Charmap, sloppy bool) *charset {
	c := &charset{sloppy: sloppy, encode: map[rune]byte{}}
	for b := range 256 {
		r := rune(b)
		if table != nil && b >= 0x80 {
			if d := table.DecodeByte(byte(b)); d != utf8.RuneError {
				r = d
			}
		}
		c.decode[b] = r
		c.encode[r] = byte(b)
	}
	delete(c.encode, 0x1A)
	if sloppy {
		c.encode[utf8.RuneError] = 0x1A
	}
	return c
}

var (
	latin1      = newCharset(nil, false)
	macRoman    = newCharset(charmap.Macintosh, false)
	windows1252 = newCharset(charmap.Windows1252, true)
	windows     = []*charset{windows1252, newCharset(charmap.Windows1251, true), newCharset(charmap.Windows1250, true),
		newCharset(charmap.Windows1253, true), newCharset(charmap.Windows1254, true), newCharset(charmap.Windows1257, true)}

	// charsets in which UTF-8 is looked for, likeliest first.
	charsets = append(append([]*charset{latin1}, windows...),
		newCharset(charmap.ISO8859_2, false), macRoman, newCharset(charmap.CodePage437, false))
)

// bytes writes s in the charset; false if s has other characters.
func (c *charset) bytes(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		b, ok := c.encode[r]
		if !ok {
			return nil, false
		}
		out = append(out, b)
	}
	return out, true
}

// decodedAs is the set of characters that the bytes first to last stand for
// in Latin-1 and the Windows charsets, without those in except.
func decodedAs(first, last int, except string) map[rune]bool {
	set := map[rune]bool{}
	for _, c := range append([]*charset{latin1}, windows...) {
		for _, r := range c.decode[first : last+1] {
			if !strings.ContainsRune(except, r) {
				set[r] = true
			}
		}
	}
	return set
}
