"""Makes prompts.json: texts and what CLIP's tokenizer makes of them.

    python3 make_prompts.py N SEED OUT.json VOCAB TINY

N is the number of random texts, VOCAB is bpe_simple_vocab_16e6.txt.gz of
openai/CLIP, TINY a tokenizer folder with vocab.json and merges.txt. Needs ftfy
6.3.1 and regex. The tokenizer is written from the definition (openai/CLIP's
simple_tokenizer: ftfy, html.unescape twice, white space, lower case, regex,
byte pairs); it is checked on the fixed prompts of ../../testdata/golden/tokenizer.
"""
import gzip, html, json, os, random, sys

import ftfy
import regex

ENCODINGS = ["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253",
             "sloppy-windows-1254", "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437"]

SENTENCES = """a photo of a cat, high quality
Die schöne Straße führt über Köln nach Österreich
Où est passée l'œuvre du maître? À Nîmes, naïvement – voilà à peu près
¿Dónde está el niño? ¡Mañana! El señor pidió jamón
À quelle distância está São Tomé? Coração, pão, às vezes àquela hora
Žluťoučký kůň úpěl ďábelské ódy
Zażółć gęślą jaźń, Łódź
Árvíztűrő tükörfúrógép
Iğdır'ın ışığı, İstanbul'da şöyle güzel çiçek
Ātrs gaisā, ūdens ķēde; Lietuvių žąsis ęėįšųū
În România, țara și câinele șoptește
Привет, мир! Съешь ещё этих мягких французских булок
Їжак і ґанок у Києві
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΟΔΥΣΣΕΥΣ Σ ΑΣ.
مرحبا بالعالم، كيف حالك؟
שלום עולם
हिन्दी में एक चित्र
ภาพถ่ายของแมว
日本語のテキスト、「猫」の写真
你好,世界。一只猫的照片
안녕하세요 세계
Tiếng Việt: Hồ Gươm đẹp quá
a cat 🐱 and a dog 🐶, 👩‍👩‍👧 🏳️‍🌈 👍🏽
it’s a “quoted” — dash… ‘single’ • bullet ™ © ® € £ ¥ ½ ° ± × ÷
smørrebrød på Ærø, blåbær og Ålesund
Ísland: þetta er góð mynd, Þór
ﬁne ﬂower eﬃcient ＦＵＬＬ width ｶﾞｷﾞ ａｂｃ１２３
x² + y² ≠ ∞ √2 ≈ 1.41 → α∧β ∑∏∫
don't can't I'll we've THEY'RE he'd I'm dog's 'S
fish &amp; chips &lt;b&gt; &quot;q&quot; &eacute;&EACUTE;&nbsp;&#8217;&#x2019; &hellip; &copy 2020 &notit; &amp;amp;
<b>bold</b> &amp; &eacute;
1234567890 ٣٤ ④ ⅷ Ⅷ ½ 2023-07-02 3.14""".split("\n")

ODD = ["\x00", "\x07", "\x1b[31m", "\x1b[0m", "\x1b[", "\x1b", "\x7f", "\x80", "\x85", "\x92", "\x9d", "\xa0", "\xad", "\u200b", "\u200d",
       "\ufeff", "\ufffd", "\u2028", "\u2029", "\r\n", "\r", "\n", "\t", "\x0b", "\x0c", "\x1c", "\x1f", "\u3000", "\u1680", "\u180e",
       "\u0345", "\u0301", "\u030a", "\u1e9b\u0323", "ſ", "'ſ", "K", "Å", "İ", "ı", "ẞ", "ß", "Σ", "ΑΣ", "ΑΣ.", "ﬆ", "ŉ", "Ǆ", "㎏", "Ⓐ", "ʼ",
       "<|startoftext|>", "<|ENDOFTEXT|>", "<|ſtartoftext|>", "<|start", "|>", "&", "&amp;", "&AMP;", "&amp", "&ampx", "&gt", "&GTCC;", "&semi;",
       "&notin;", "&notin", "&not(", "&#65;", "&#x41", "&#0;", "&#128;", "&#x9d;", "&#xD800;", "&#x110000;", "&#1;", "&#xFFFE;", "&#59;", "&#;",
       "&#x;", "&#xg;", "&#000000000000000000000065;", "&#00000000000000000000000000065;", "&FRAC12;", "&SZLIG;", "&COPYSR;", "&EAcute;", "&nosuch;",
       "&CounterClockwiseContourIntegral;", "&#38;#38;", "&amp;lt;", "Ã ", "Â ", "à ", "â€™", "â€œ", "Ã©", "Ã¨", "Ð¿Ñ€", "ï¿½", "â€", "Â»", "Ã?",
       "\u00e2\u20ac\ufffd", "\u00e2\u0080\u0099", "\u00c3\u00a0", "\U0001f600", "\U0001f1e9\U0001f1ea", "'s", "!", "?", ",", ".", "(", ")", "_", "0", "9"]


def misread(s, rnd):
    """s encoded as UTF-8 and decoded as something else, with the accidents that befall such text."""
    enc = rnd.choice(ENCODINGS)
    b = s.encode("utf-8", "replace")
    if rnd.random() < 0.1 and any(ord(c) > 0xffff for c in s):  # CESU-8
        b = b"".join(c.encode("utf-8") if ord(c) < 0x10000 else
                     c.encode("utf-16-be").decode("utf-16-be", "surrogatepass").encode("utf-16", "surrogatepass")[2:] and
                     b"".join(chr(u).encode("utf-8", "surrogatepass") for u in
                              (0xd800 + (ord(c) - 0x10000 >> 10), 0xdc00 + (ord(c) - 0x10000 & 0x3ff))) for c in s)
    t = b.decode(enc)
    r = rnd.random()
    if r < 0.15:
        t = t.replace("\xa0", " ")
    elif r < 0.25:
        t = "".join("\ufffd" if "\x80" <= c <= "\x9f" else c for c in t)
    elif r < 0.3:
        t = "".join("?" if "\x80" <= c <= "\x9f" else c for c in t)
    elif r < 0.35:
        t = t.lower()
    return t


def piece(s, rnd):
    a = rnd.randrange(len(s))
    return s[a:a + rnd.randint(3, 30)]


def random_char(rnd):
    while True:
        c = rnd.choice([rnd.randrange(0x250), rnd.randrange(0x3000), rnd.randrange(0x10000), rnd.randrange(0x1f000, 0x20000)])
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def text(rnd):
    s = piece(rnd.choice(SENTENCES), rnd)
    k = rnd.randrange(12)
    if k < 4:
        s = misread(s, rnd)
    elif k == 4:
        s = misread(misread(s, rnd), rnd)
    elif k == 5:
        s = piece(rnd.choice(SENTENCES), rnd) + rnd.choice([" ", "", "\n"]) + misread(s, rnd)
    elif k == 6:
        s = " ".join([misread(s, rnd), misread(piece(rnd.choice(SENTENCES), rnd), rnd)])
    elif k == 7:
        s = "".join(random_char(rnd) for _ in range(rnd.randint(1, 12)))
    elif k == 8:
        s = "".join(rnd.choice(ODD) for _ in range(rnd.randint(1, 6)))
    elif k == 9:
        s = s.encode("windows-1252", "ignore").decode("latin-1")
    elif k == 10:
        s = s.upper()
    for _ in range(rnd.choice([0, 0, 1, 2])):
        a = rnd.randrange(len(s) + 1)
        s = s[:a] + rnd.choice(ODD) + s[a:]
    return s


def clean(s):
    s = html.unescape(html.unescape(ftfy.fix_text(s))).strip()
    return regex.sub(r"\s+", " ", s).strip().lower()


PATTERN = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = {b: chr(b) for b in PLAIN}
ORDER = PLAIN + [b for b in range(256) if b not in BYTES]
for b in range(256):
    BYTES.setdefault(b, chr(256 + len([x for x in range(b) if x not in PLAIN])))


class Tokenizer:
    def __init__(self, path):
        if os.path.isdir(path):
            self.ids = json.load(open(path + "/vocab.json", encoding="utf-8"))
            lines = open(path + "/merges.txt", encoding="utf-8").read().strip().split("\n")[1:]
        else:
            lines = gzip.open(path).read().decode("utf-8").split("\n")[1:49152 - 256 - 2 + 1]
            words = [BYTES[b] for b in ORDER]
            words += [w + "</w>" for w in words]
            words += ["".join(line.split()) for line in lines] + ["<|startoftext|>", "<|endoftext|>"]
            self.ids = {w: i for i, w in enumerate(words)}
        self.rank = {tuple(line.split()): i for i, line in enumerate(lines)}

    def merge(self, word):
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            rank, pair = min((self.rank.get(p, 1 << 30), p) for p in zip(parts, parts[1:]))
            if rank == 1 << 30:
                break
            out, i = [], 0
            while i < len(parts):
                if tuple(parts[i:i + 2]) == pair:
                    out.append("".join(pair))
                    i += 2
                else:
                    out.append(parts[i])
                    i += 1
            parts = out
        return parts

    def encode(self, s):
        out = []
        for word in PATTERN.findall(clean(s)):
            if word in ("<|startoftext|>", "<|endoftext|>"):
                out.append(self.ids[word])
            else:
                out += [self.ids[p] for p in self.merge("".join(BYTES[b] for b in word.encode("utf-8")))]
        return out


def main():
    n, seed, out, vocab, tiny = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Tokenizer(sys.argv[4]), Tokenizer(sys.argv[5])
    here = os.path.dirname(os.path.abspath(__file__))
    for row in json.load(open(here + "/../../testdata/golden/tokenizer/prompts.json", encoding="utf-8")):
        assert vocab.encode(row["prompt"]) == row["ids"], row["prompt"]
    rnd = random.Random(seed)
    texts = SENTENCES + ODD + [text(rnd) for _ in range(n)]
    rows = [{"text": s, "clean": clean(s), "ids": vocab.encode(s), "tiny": tiny.encode(s)} for s in dict.fromkeys(texts)]
    with open(out, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]\n")


if __name__ == "__main__":
    main()
