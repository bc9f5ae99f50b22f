// Package fixtext repairs text that went through wrong decodings and other
// accidents, as the Python library ftfy does by default, and decodes HTML
// entities by Python's rules. CLIP's tokenizer cleans its text with both.
//
// The order of the steps and their names follow ftfy's documentation
// (https://ftfy.readthedocs.io: "Fixer functions", "Configuring ftfy",
// "Heuristics for detecting mojibake"). What the documentation leaves open, above
// all the tables of the heuristic, was found by feeding version 6.3.1 with
// all short strings of the characters in question and looking at its answers.
package fixtext

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Fix is ftfy's fix_text with its default settings: HTML entities (unless a
// line so far has a "<"), mojibake, C1 controls, ligatures, full-width forms,
// curly quotes, line breaks, terminal escapes, control characters, NFC. That is
// done line by line and repeated until nothing changes. Bytes that are no
// UTF-8 become U+FFFD first.
func Fix(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	entities := true
	var out strings.Builder
	for line := range strings.Lines(text) {
		entities = entities && !strings.Contains(line, "<")
		out.WriteString(fixLine(line, entities))
	}
	return out.String()
}

func fixLine(text string, entities bool) string {
	for {
		before := text
		if entities {
			text = fixEntities(text)
		}
		if !isASCII(text) {
			text = fixEncoding(text)
			text = fixC1(text)
			text = mapRunes(text)
		}
		text = lineBreaks.Replace(text)
		text = dropEscapes(text)
		text = dropControls(text)
		text = norm.NFC.String(text)
		if text == before {
			return text
		}
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
