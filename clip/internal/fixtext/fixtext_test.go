package fixtext

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// TestFix has the examples of ftfy's documentation, and what ftfy 6.3.1 makes of
// others. Thousands of texts are compared in package clip.
func TestFix(t *testing.T) {
	for text, want := range map[string]string{
		"âœ” No problems": "✔ No problems",
		"The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t have eyebrows.": "The Mona Lisa doesn't have eyebrows.",
		"l’humanitÃ©":                         "l'humanité",
		"Ã\u00a0 perturber la rÃ©flexion":     "à perturber la réflexion",
		"voilÃ  le travail":                   "voilà le travail",
		"P&EACUTE;REZ &hellip; &amp;lt;":      "PÉREZ … <",
		"<b>&amp;</b>\n&eacute;":              "<b>&amp;</b>\n&eacute;", // HTML is left alone, and what follows it
		"&eacute;\n<b>&amp;</b>":              "é\n<b>&amp;</b>",
		"\x1b[36;44mhi\x1b[0m\ufeff\u2028":    "hi\n",
		"\U0001f621 \u00f0\u0178\u02dc\u0081": "\U0001f621 \U0001f601",
		"cafe\u0301 \ufb01 ＬＯＵＤ":              "café fi LOUD",
		"Charlotte Brontë…”":                  "Charlotte Brontë…\"",
		"(ง'⌣')ง":                             "(ง'⌣')ง",
		"IL Y MARQUÉ…":                        "IL Y MARQUÉ…",
		"\xff\xfe":                            "\uFFFD",
	} {
		require.Equal(t, want, Fix(text), "%+q", text)
	}
}

// TestUnescapeHTML has values of Python's html.unescape.
func TestUnescapeHTML(t *testing.T) {
	for text, want := range map[string]string{
		"&#128;": "€", "&#x80;": "€", "&#0;": "\uFFFD", "&#13;": "\r", "&#x81;": "\u0081", "&#xD800;": "\uFFFD",
		"&#x110000;": "\uFFFD",
		"&#1;":       "", "&#xfffe;": "", "&#xfdd0;": "", "&#11;": "", "&#12;": "\f", "&#127;": "", "&ampx": "&x",
		"&notit;": "¬it;", "&notin;": "∉",
		"&nosuch;": "&nosuch;", "&am;": "&am;", "&#;": "&#;", "&#x;": "&#x;", "&#xg;": "&#xg;", "&#38": "&",
		"&#38;#38;": "&#38;", "&lt": "<",
		"&gtx": ">x", "&Amp;": "&Amp;", "&AMP": "&", "&#x41é": "Aé", "&ampé;": "&é;", "&#99999999999999999999": "\uFFFD",
		"a & b &": "a & b &", "&&lt;": "&<",
	} {
		require.Equal(t, want, UnescapeHTML(text), text)
	}
}

// TestBytes has values of ftfy's restore_byte_a0 and replace_lossy_sequences.
func TestBytes(t *testing.T) {
	for b, want := range map[string]string{
		"\xc3 ": "\xc3\xa0 ", "a\xc3 b": "a\xc3\xa0 b", "\xc3 quela x": "\xc3\xa0quela x", "\xc3 quel": "\xc3\xa0 quel",
		"\xc3 s ": "\xc3\xa0s ", "\xc3 s": "\xc3\xa0 s",
		"\xc3   x": "\xc3\xa0  x", "\xc2 \xc2 ": "\xc2\xa0\xc2\xa0", "\xe3 \xe3 \x81\x82": "\xe3 \xe3\xa0\x81\x82",
		"\xe1 \x80": "\xe1 \x80", "\xe1\x80 ": "\xe1\x80\xa0",
		"\xe2\x85 ": "\xe2\x85 ", "\xf0 \x80\x80": "\xf0\xa0\x80\x80", "\xf0  \x80": "\xf0  \x80", "\xc4 ": "\xc4 ",
	} {
		require.Equal(t, want, string(restoreA0([]byte(b))), "%q", b)
	}
	for b, want := range map[string]string{
		"a\x1ab?": "a\uFFFDb?", "\xed\xa0?\xed\xb0?": "\uFFFD", "\xed\xa0\x80\xed\xb0\x80": "\xed\xa0\x80\xed\xb0\x80",
		"\xed\xa0?": "\uFFFD", "\xe2?": "\xe2?",
		"\xe2\x1a": "\xe2\uFFFD", "\xe2\x80\x1a\x1a": "\uFFFD\uFFFD", "\xe2??": "\xe2??", "\xc3?": "\uFFFD",
		"\xc4?": "\xc4?", "\xc4\x1a": "\uFFFD", "\xf0\x1a\x1a\x1a": "\uFFFD",
	} {
		require.Equal(t, want, string(replaceLossy([]byte(b))), "%q", b)
	}
}

func FuzzFix(f *testing.F) {
	for _, s := range []string{"", "\xff", "doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t", "Ã \u0080", "&#55;&EACUTE;<",
		"\x1b[", "\u00ed\u00a0\u00bd\u00ed\u00b8\u0081", strings.Repeat("Ã", 20)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 {
			return
		}
		fixed := Fix(text)
		require.True(t, utf8.ValidString(fixed))
		require.True(t, utf8.ValidString(UnescapeHTML(fixed)))
	})
}
