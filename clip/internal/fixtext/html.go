package fixtext

import (
	"html"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// UnescapeHTML is Python's html.unescape. It differs from Go's
// html.UnescapeString in numeric references: control characters and
// noncharacters vanish, U+FFFD stands for surrogates and for numbers too large.
// (https://docs.python.org/3/library/html.html and the HTML 5 standard.)
func UnescapeHTML(s string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			return out.String() + s
		}
		out.WriteString(s[:i])
		s = s[i:]
		if text, rest, ok := numericReference(s); ok {
			out.WriteString(text)
			s = rest
			continue
		}
		end := len(s)
		if j := strings.IndexByte(s[1:], '&'); j >= 0 {
			end = j + 1
		}
		if strings.HasPrefix(s, "&#") { // no number follows: for Go this might still be one
			out.WriteString(s[:end])
		} else {
			out.WriteString(html.UnescapeString(s[:end])) // one name at most
		}
		s = s[end:]
	}
}

// numericReference decodes the reference that s starts with, like "&#65;" or
// "&#x41", and returns what follows it.
func numericReference(s string) (text, rest string, ok bool) {
	rest, ok = strings.CutPrefix(s, "&#")
	if !ok {
		return "", "", false
	}
	base := rune(10)
	if rest != "" && rest[0]|0x20 == 'x' {
		base, rest = 16, rest[1:]
	}
	num, digits := rune(0), 0
	for ; digits < len(rest); digits++ {
		d, c := rune(99), rest[digits]|0x20
		if rest[digits] >= '0' && rest[digits] <= '9' {
			d = rune(rest[digits] - '0')
		} else if c >= 'a' && c <= 'f' {
			d = rune(c-'a') + 10
		}
		if d >= base {
			break
		}
		num = min(num*base+d, utf8.MaxRune+1) // no overflow
	}
	if digits == 0 {
		return "", "", false
	}
	return numericCharacter(num), strings.TrimPrefix(rest[digits:], ";"), true
}

func numericCharacter(num rune) string {
	switch {
	case num == 0, num > utf8.MaxRune, num >= 0xD800 && num <= 0xDFFF:
		return "\uFFFD"
	case num >= 0x80 && num < 0xA0:
		return string(windows1252.decode[num])
	case num < 0x20 && num != '\t' && num != '\n' && num != '\f' && num != '\r', num == 0x7F,
		num >= 0xFDD0 && num <= 0xFDEF, num&0xFFFE == 0xFFFE:
		return ""
	}
	return string(num)
}

// fixEntities is ftfy's unescape_html: only entities that end in a semicolon
// and have at most 24 letters, but all-capital spellings such as &EACUTE; too.
func fixEntities(s string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			return out.String() + s
		}
		out.WriteString(s[:i])
		s = s[i:]
		n := 1
		if strings.HasPrefix(s, "&#") {
			n = 2
		}
		end := n
		for end < len(s) && end < n+24 && isAlnum(s[end]) {
			end++
		}
		if end == n || end == len(s) || s[end] != ';' {
			out.WriteByte('&')
			s = s[1:]
			continue
		}
		out.WriteString(fixEntity(s[:end+1]))
		s = s[end+1:]
	}
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func fixEntity(entity string) string {
	if strings.HasPrefix(entity, "&#") {
		if text, rest, ok := numericReference(entity); ok && rest == "" && text != ";" {
			return text
		}
		return entity
	}
	if text, known := namedEntity(entity); known {
		return text
	} else if text != entity { // its beginning is known
		return entity
	}
	if lower := strings.ToLower(entity); strings.ToUpper(entity) == entity {
		if text, known := namedEntity(lower); known {
			return cases.Upper(language.Und).String(text)
		}
	}
	return entity
}

// namedEntity decodes "&name;" and tells whether that whole name is known: of
// an unknown one html.UnescapeString may still decode the beginning.
func namedEntity(entity string) (text string, known bool) {
	text = html.UnescapeString(entity)
	return text, text != entity && (!strings.HasSuffix(text, ";") || entity == "&semi;")
}
