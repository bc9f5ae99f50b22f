package fixtext

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// lineBreaks turns every kind of line break into "\n".
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\u0085", "\n")

// ligatures of Latin letters, and curly quotes, by what stands for them.
var ligatures = map[rune]string{
	'Ĳ': "IJ", 'ĳ': "ij", 'ŉ': "ʼn",
	'Ǆ': "DŽ", 'ǅ': "Dž", 'ǆ': "dž", 'Ǉ': "LJ", 'ǈ': "Lj", 'ǉ': "lj", 'Ǌ': "NJ", 'ǋ': "Nj", 'ǌ': "nj",
	'Ǳ': "DZ", 'ǲ': "Dz", 'ǳ': "dz",
	'ﬀ': "ff", 'ﬁ': "fi", 'ﬂ': "fl", 'ﬃ': "ffi", 'ﬄ': "ffl", 'ﬅ': "ſt", 'ﬆ': "st",
	'ʼ': "'", '‘': "'", '’': "'", '‚': "'", '‛': "'", '“': `"`, '”': `"`, '„': `"`, '‟': `"`,
}

// mapRunes writes ligatures, full- and half-width forms and curly quotes as
// ordinary characters.
func mapRunes(s string) string {
	var out strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			out.WriteByte(byte(r))
		} else if plain, ok := ligatures[r]; ok {
			out.WriteString(plain)
		} else if r == 0x3000 || r >= 0xFF01 && r <= 0xFFEF {
			out.WriteString(norm.NFKC.String(string(r)))
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// fixC1 reads C1 controls as the characters that Windows-1252 has in their place.
func fixC1(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x80 && r < 0xA0 {
			return windows1252.decode[r]
		}
		return r
	}, s)
}

// dropEscapes removes terminal escapes: ESC [ digits and semicolons, letter.
func dropEscapes(s string) string {
	var out strings.Builder
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			break
		}
		rest := strings.TrimLeftFunc(s[i+2:], func(r rune) bool { return r == ';' || unicode.IsDigit(r) })
		if rest != "" && (rest[0]|0x20) >= 'a' && (rest[0]|0x20) <= 'z' {
			out.WriteString(s[:i])
			s = rest[1:]
		} else {
			out.WriteString(s[:i+1])
			s = s[i+1:]
		}
	}
	return out.String() + s
}

// dropControls removes control characters other than tab, line feed and form
// feed, and the invisible characters that Unicode deprecates.
func dropControls(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20 && r != '\t' && r != '\n' && r != '\f' && r != '\r', r == 0x7F,
			r >= 0x206A && r <= 0x206F, r == 0xFEFF, r >= 0xFFF9 && r <= 0xFFFC:
			return -1
		}
		return r
	}, s)
}
