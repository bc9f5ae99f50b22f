package fixtext

import (
	"strings"
	"unicode/utf8"
)

// fixEncoding undoes wrong decodings, one after the other, for as long as the
// text looks wrong. Every step decodes some characters into fewer, or replaces
// C1 controls, so that it ends.
func fixEncoding(s string) string {
	for !isASCII(s) && isBad(s) {
		fixed := fixEncodingOnce(s)
		if fixed == s {
			break
		}
		s = fixed
	}
	return s
}

func fixEncodingOnce(s string) string {
	// UTF-8 that was read as something else?
	inLatin1, inWindows1252 := false, false
	for _, c := range charsets {
		b, ok := c.bytes(s)
		if !ok {
			continue
		}
		inLatin1, inWindows1252 = inLatin1 || c == latin1, inWindows1252 || c == windows1252
		if c != macRoman { // has its no-break space elsewhere
			b = restoreA0(b)
		}
		if c.sloppy {
			b = replaceLossy(b)
		}
		if fixed, ok := decodeUTF8(b); ok {
			return fixed
		}
	}
	// Only parts of it?
	if fixed := fixParts(s); fixed != s {
		return fixed
	}
	// Windows-1252 that was read as Latin-1?
	if inLatin1 && !inWindows1252 {
		return fixC1(s)
	}
	if inLatin1 {
		return s
	}
	return fixC1(s)
}

// decodeUTF8 decodes UTF-8 and its variants: surrogate pairs of three bytes
// each (CESU-8) and C0 80 for NUL (Java).
func decodeUTF8(b []byte) (string, bool) {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if len(b) >= 6 && b[0] == 0xED && b[1]&0xF0 == 0xA0 && b[2]&0xC0 == 0x80 &&
			b[3] == 0xED && b[4]&0xF0 == 0xB0 && b[5]&0xC0 == 0x80 {
			high := rune(b[1]&0x0F)<<6 | rune(b[2]&0x3F)
			low := rune(b[4]&0x0F)<<6 | rune(b[5]&0x3F)
			out, b = utf8.AppendRune(out, 0x10000+high<<10+low), b[6:]
			continue
		}
		if len(b) >= 2 && b[0] == 0xC0 && b[1] == 0x80 {
			out, b = append(out, 0), b[2:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n < 2 {
			return "", false
		}
		out, b = append(out, b[:n]...), b[n:]
	}
	return string(out), true
}

// restoreA0 puts A0 back where UTF-8 would have it and a space stands: somebody
// took the byte for a no-break space. C3 followed by a space is the French or
// Portuguese word "à", whose space is kept.
func restoreA0(b []byte) []byte {
	if !strings.Contains(string(b), " ") {
		return b
	}
	out := make([]byte, 0, len(b)+8)
	for i := 0; i < len(b); {
		n := alteredLen(b[i:])
		if n == 2 && b[i] == 0xC3 {
			out = append(out, 0xC3, 0xA0)
			if !joinsA(b[i+2:]) {
				out = append(out, ' ')
			}
			i += 2
			continue
		}
		for k := range max(n, 1) {
			if c := b[i+k]; n > 0 && c == ' ' {
				out = append(out, 0xA0)
			} else {
				out = append(out, c)
			}
		}
		i += max(n, 1)
	}
	return out
}

// alteredLen is the length of the UTF-8 sequence with one space for A0 that b
// starts with, 0 if there is none. Leads are limited to those that are common.
func alteredLen(b []byte) int {
	var n int
	var low byte = 0x80
	switch c := b[0]; {
	case c == 0xC2, c == 0xC3, c == 0xC5, c == 0xCE, c == 0xD0, c == 0xD9:
		n = 2
	case c >= 0xE0 && c <= 0xE3:
		n = 3
	case c == 0xF0:
		n = 4
	default:
		return 0
	}
	if len(b) < n {
		return 0
	}
	spaces := 0
	for i := 1; i < n; i++ {
		switch c := b[i]; {
		case c == ' ':
			spaces++
			if n == 3 && i == 1 && b[0] < 0xE2 {
				return 0
			}
		case c < low || c > 0xBF, n == 3 && (c == 0x85 || c == 0xA0):
			return 0
		}
	}
	if spaces != 1 {
		return 0
	}
	return n
}

// joinsA tells of what follows "à " that the space was no space: another one, the
// Portuguese words àquele, àquela, àquilo, and às.
func joinsA(b []byte) bool {
	for _, word := range []string{" ", "quele", "quela", "quilo", "s "} {
		if strings.HasPrefix(string(b[:min(len(b), 5)]), word) {
			return true
		}
	}
	return false
}

// replaceLossy writes U+FFFD for UTF-8 sequences of which bytes were lost: 1A
// stands for U+FFFD (see charset), "?" for one lost byte.
func replaceLossy(b []byte) []byte {
	out := make([]byte, 0, len(b)+8)
	for i := 0; i < len(b); {
		if n := lossyLen(b[i:]); n > 0 {
			out = append(out, "\uFFFD"...)
			i += n
		} else {
			out = append(out, b[i])
			i++
		}
	}
	return out
}

func lossyLen(b []byte) int {
	n, c := 1, b[0]
	switch {
	case c == 0x1A:
		return 1
	case c >= 0xC2 && c <= 0xC3 && len(b) > 1 && b[1] == '?':
		return 2
	case len(b) >= 6 && c == 0xED && b[1]&0xF0 == 0xA0 && b[3] == 0xED && b[4]&0xF0 == 0xB0 &&
		isTail(b[2]) && isTail(b[5]) && (isLost(b[2]) || isLost(b[5])):
		return 6
	case c >= 0xC2 && c <= 0xDF:
		if len(b) > 1 && b[1] == 0x1A {
			return 2
		}
		return 0
	case c >= 0xE0 && c <= 0xEF:
		n = 3
	case c >= 0xF0 && c <= 0xF4:
		n = 4
	default:
		return 0
	}
	if len(b) < n {
		return 0
	}
	lost, asked := 0, 0
	for _, t := range b[1:n] {
		if !isTail(t) {
			return 0
		}
		if isLost(t) {
			lost++
		}
		if t == '?' {
			asked++
		}
	}
	if lost == 0 || asked > 1 {
		return 0
	}
	return n
}

func isLost(c byte) bool { return c == 0x1A || c == '?' }
func isTail(c byte) bool { return isLost(c) || c&0xC0 == 0x80 }

// Characters that the bytes of UTF-8 turn into: leads of sequences of two, three
// and four bytes (of the latter those in use) and continuations, among which
// typographic marks are no sure sign of mojibake.
var (
	lead2, lead3 = decodedAs(0xC2, 0xDF, ""), decodedAs(0xE0, 0xEF, "")
	lead4a       = decodedAs(0xF0, 0xF0, "")
	lead4b       = decodedAs(0xF3, 0xF3, "")
	tail         = decodedAs(0x80, 0xBF, "")
	strictTail   = decodedAs(0x80, 0xBF, "–—―‘’‚“”„•…")
)

// fixParts fixes, each by itself, runs of characters that look like the bytes
// of UTF-8 and do not follow a continuation.
func fixParts(s string) string {
	rs := []rune(s)
	var out strings.Builder
	for i := 0; i < len(rs); {
		end := i
		if i == 0 || !strictTail[rs[i-1]] {
			for n := sequenceLen(rs[end:]); n > 0; n = sequenceLen(rs[end:]) {
				end += n
			}
		}
		if end == i {
			out.WriteRune(rs[i])
			i++
			continue
		}
		part := string(rs[i:end])
		if end-i < len(rs) && isBad(part) { // the whole text was tried already
			part = fixEncoding(part)
		}
		out.WriteString(part)
		i = end
	}
	return out.String()
}

func sequenceLen(rs []rune) int {
	if len(rs) == 0 {
		return 0
	}
	n := 0
	switch r := rs[0]; {
	case lead2[r]:
		n = 2
	case lead3[r]:
		n = 3
	case lead4a[r], lead4b[r]:
		n = 4
	}
	if n == 0 || len(rs) < n {
		return 0
	}
	for _, r := range rs[1:n] {
		if !tail[r] && r != ' ' {
			return 0
		}
	}
	return n
}
