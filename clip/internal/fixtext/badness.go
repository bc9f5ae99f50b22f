package fixtext

import (
	"unicode"
	"unicode/utf8"
)

// classes are the characters that wrong decodings of UTF-8 produce, grouped by
// how suspicious their neighbourhood is; "x-y" is a range. The first
// character of a group names it in the rules. Besides these groups there are letters and
// digits ('0'), white space ('\t') and all others ('\x00').
var classes = []string{
	" ", "!,.?", "A-Z", "a-z", "\u00a0", "¡©«¿΄΅‘‚“„•‹\uf8ff", "¢", "£€",
	"¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\ufffd", "¥", "§¶",
	"\u00ad·–—", "®™", "°", "±∂≠≤≥", "²", "³", "´", "µ", "¹¼½¾", "»˝”›",
	"ÀÁÄ-ÍÏÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŘŚŞŢŤŮŰŹŻŽҐ", "Â", "Ã", "ÎÐ",
	"Ò-ÖÙÚÛò-öùúûŌŐŪŲ", "×", "ÞΆΈΉΊΌΎΏΑ-ΡΣ-ΫЁЃ-Я",
	"ßá-ñüāăąćčďđēėęěğģīįķĺļľłŕśşťźżґﬁﬂ", "à", "÷⁄№∆∏∑∞∩∫≡", "ø",
	"Œ", "œ", "ŠŸ", "šž", "ά-ωабг-џ", "Ђ", "в",
	"₧", "√", "≈", "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
}

// badPairs are the groups that hardly ever follow each other in real text.
var badPairs = [][2]string{
	{"¡§", "¤│"},
	{"¢£¥±²³µ¹÷₧", "¡¤ÀÂÃÎßàŒœŠš│"},
	{"¤", "¡¢£¤¥§®±²³µ¹»ÀÂÃÎ×ßà÷ŒœŠš₧√≈│"},
	{"®»", "¢£¤¥ÀÂÃÎßàŒœŠš₧│"},
	{"ÀŠ", "¤§°±²³µ¹×÷√≈│"},
	{"ÂÃÎ", "\u00a0¡¢£¤§\u00ad®°±²³´µ¹»×÷œŠš√≈│"},
	{"×", "¡¤²³ÀÂÃÎßàŒœŠš│"},
	{"ßš", "¢£¤¥ÀÂÃÎŒŠ₧│"},
	{"à", "¢£¤¥²µ¹ÀÂÃÎŒŠ₧│"},
	{"Œœ", "\x00\t !0\u00a0¡¢£¤¥§\u00ad®°±²³´µ¹»ÀÂÃÎÒ×Þßà÷øŒœŠšάЂв₧√≈│"},
	{"ά", "ÀÂÃÎŒŠ"},
	{"в", "ÀÂÃÎŒŠЂ"},
	{"√", "¡¤¥®±´µÀÂÃÎßàøŒœŠš│"},
	{"≈", "¡¢¤°ÀÂÃÎßàŒœŠš│"},
	{"│", "¡¢£¤¥§®°±²³µ¹»ÀÂÃÎÒ×ßà÷øŒœŠš₧√≈"},
}

// badTriples are the same for three in a row.
var badTriples = [][3]string{
	{"\t a\u00a0", "ÂÃÎ", "¥₧"},
	{"\t \u00a0", "ÀŠ", "¢£¥₧"},
	{"Aa", "ÞάЂв", "¤"},
	{"a", "ÀŠ", "¡¢£¥₧"},
	{"¢£¥§±²³µ¹×÷₧√≈", "»", "¡"},
	{"¢£¥§±²³µ¹×÷₧≈", "®", "¡"},
	{"®»", "¡", "±²³µ¹×÷√≈"},
	{"ÀßàŠš", "®»", "0Aa¡²³µ¹ÒÞøάЂв"},
	{"ÀßàŠš", "¡", "0Aa±²³µ¹ÀÂÃÎÒ×Þßà÷øŒœŠšάЂв√≈"},
}

// classBit has the bit of each character's group; every other character has
// one of the last three bits.
var classBit, groupBit = func() (map[rune]uint64, map[rune]uint64) {
	bits, groups := map[rune]uint64{}, map[rune]uint64{'0': 1 << 61, '\t': 1 << 62, 0: 1 << 63}
	for i, class := range classes {
		rs := []rune(class)
		groups[rs[0]] = 1 << i
		for k, r := range rs {
			bits[r] = 1 << i
			if r == '-' { // stands between the ends of a range
				delete(bits, r)
				for x := rs[k-1]; x <= rs[k+1]; x++ {
					bits[x] = 1 << i
				}
			}
		}
	}
	return bits, groups
}()

var asciiClass = func() (bits [utf8.RuneSelf]uint64) {
	for r := range bits {
		bits[r] = lookUpClass(rune(r))
	}
	return
}()

func classOf(r rune) uint64 {
	if r < utf8.RuneSelf {
		return asciiClass[r]
	}
	return lookUpClass(r)
}

func lookUpClass(r rune) uint64 {
	if b, ok := classBit[r]; ok {
		return b
	}
	switch {
	case r == '_', unicode.IsLetter(r), unicode.IsNumber(r):
		return groupBit['0']
	case unicode.IsSpace(r), r >= 0x1C && r <= 0x1F:
		return groupBit['\t']
	}
	return groupBit[0]
}

// mask joins the groups that the characters of a rule name.
func mask(rule string) uint64 {
	m := uint64(0)
	for _, r := range rule {
		if groupBit[r] == 0 {
			panic("fixtext: no group " + string(r))
		}
		m |= groupBit[r]
	}
	return m
}

var pairMasks, tripleMasks = func() (pairs [][2]uint64, triples [][3]uint64) {
	for _, p := range badPairs {
		pairs = append(pairs, [2]uint64{mask(p[0]), mask(p[1])})
	}
	for _, t := range badTriples {
		triples = append(triples, [3]uint64{mask(t[0]), mask(t[1]), mask(t[2])})
	}
	return
}()

// between and arabic are groups that stand between the leads of two-byte
// sequences of Cyrillic or Greek (the first with µ only for Cyrillic) and after those of Arabic.
var between, arabic = mask("¡¢£¤¥®°»₧"), mask("\u00a0¡¢£¤¥\u00ad°±²³´µ¹×÷Š₧√≈")

// isBad tells whether s looks like mojibake: it has a C1 control or a
// sequence of characters that wrong decodings explain better than writing does.
func isBad(s string) bool {
	rs := []rune(s)
	cs := make([]uint64, len(rs))
	for i, r := range rs {
		if r >= 0x80 && r < 0xA0 {
			return true
		}
		cs[i] = classOf(r)
	}
	for i := range rs {
		if badAt(rs[i:], cs[i:]) || badSpace(rs, cs, i) {
			return true
		}
	}
	return false
}

// badAt looks at what starts with the first character.
func badAt(rs []rune, cs []uint64) bool {
	if len(rs) < 2 || rs[0]|rs[1]|rs[min(2, len(rs)-1)] < utf8.RuneSelf { // ASCII is in no rule alone
		return false
	}
	for _, p := range pairMasks {
		if cs[0]&p[0] != 0 && cs[1]&p[1] != 0 {
			return true
		}
	}
	if len(rs) < 3 {
		return false
	}
	for _, t := range tripleMasks {
		if cs[0]&t[0] != 0 && cs[1]&t[1] != 0 && cs[2]&t[2] != 0 {
			return true
		}
	}
	a, b, c := rs[0], rs[1], rs[2]
	switch {
	case a == '‚' && b == 'Ä' && isIn(c, "¢ìîïòôùúûπ"), // dashes, quotes, bullets of UTF-8 read as Mac Roman
		a == '‚' && (b == 'â' || b == 'ó') && isIn(c, "°àäê"),
		a == 'β' && b == '€' && isIn(c, "\u00a0\u00ad®°Ά™"), // and as Windows-1253
		isIn(a, "ВГРС") && isIn(c, "ВГРС") && (cs[1]&between != 0 || b == 'µ'),
		isIn(a, "ΒΓΞΟ") && isIn(c, "ΒΓΞΟ") && cs[1]&between != 0,
		isDoubled(rs),
		len(rs) > 3 && isIn(a, "ØÙ") && isIn(c, "ØÙ") && isArabic(b, cs[1]) && isArabic(rs[3], cs[3]):
		return true
	}
	return false
}

// isDoubled finds a mark like “ read wrongly twice, as Latin-1 and as Windows-1251.
func isDoubled(rs []rune) bool {
	const start = "ГўВЂВ"
	if len(rs) < 7 || string(rs[:5]) != start || rs[5] == '\n' {
		return false
	}
	c := rs[6]
	return c == ' ' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func isArabic(r rune, class uint64) bool { return class&arabic != 0 || isIn(r, "®»―’…") }

// badSpace finds Â or Ã before a space, at the start of the text or after a small
// letter (with at most one space between), Â after a mark too: the first byte
// of a no-break space or of "à", whose second byte became a space.
func badSpace(rs []rune, cs []uint64, i int) bool {
	if rs[i] != 'Â' && rs[i] != 'Ã' || i+1 == len(rs) || rs[i+1] != ' ' {
		return false
	}
	small := groupBit['a']
	return i == 0 || cs[i-1] == small || rs[i] == 'Â' && cs[i-1] == groupBit['!'] ||
		i > 1 && cs[i-2] == small && cs[i-1]&(groupBit['\t']|groupBit[' ']|groupBit['\u00a0']) != 0
}

func isIn(r rune, set string) bool {
	for _, s := range set {
		if r == s {
			return true
		}
	}
	return false
}
