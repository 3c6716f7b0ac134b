"""Texts that tell tokenizers apart: every character class, and whatever has gone wrong in tokenizers before.

torture() gives the same list at every call; the golden vectors and the parity check share it. No text holds a tab or
an end of line, so that a text is a line of a file and a column of a TSV file."""

import random

BY_HAND = [
    "", " ", "  ", "   a", "a   ", " a  b   c ", "a\u00a0b", "a\u2003b\u3000c", "\u2028x\u2029y", "\u0085z", "\u200bzero\u200bwidth\u200c\u200d",
    "It's we're they've I'm you'll he'd isn't", "IT'S WE'RE THEY'VE", "' 's 't ''s 're've", "rock'n'roll o'clock 'tis", "it\u2019s curly", "don''t",
    "Hello, world! How are you?!? (fine) [ok] {x} <y> a/b\\c ~`@#$%^&*-_=+|;:\"'",
    "3.14 1,000,000 50% $5 \u20ac9 1st 2nd x2 2x a1b2c3 \u00bd \u00b2 \u2168 \u0663\u0664 \u0967\u0968 \U0001d7d8",
    "caf\u00e9 cafe\u0301 na\u00efve na\u0131\u0308ve \u00c5ngstro\u0308m \u212bngstr\u00f6m \ufb01nance \ufb03 \u1e9e \u00df \u017fs \ufb05",
    "\u0130stanbul \u0131\u015f\u0131k I\u0307 i\u0307 DI\u015e \u01c5 \u01c4 \u03a3\u03a3\u03a3 \u039f\u0394\u039f\u03a3 \u03c2",
    "a\u0300\u0316\u0301\u0317b e\u0327\u0301 \u0344 \u0f71\u0f72 \u0fb2\u0f80 q\u0323\u0307 q\u0307\u0323 s\u0323\u0307 \u1e69",
    "\u6f22\u5b57\u304b\u306a\u4ea4\u3058\u308a\u6587 \u4e2d\u6587abc\u4e2d\u6587 \u3042\u30a2\uff71\uff9e \u3400\U00020000\U0002a6df\U0002f800\uf900\u9fff\ua000",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab\u1100\u116e\u11a8 \u1100\u1161 \u1161 \u11a8 \uac00\u11a8 \u302e\u302f",
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u0645\u0631\u062d\u0628\u0627 \u0628\u0650\u0633\u0652\u0645\u0650 \u202bRTL\u202c \u200e\u200f \u0640\u0640",
    "\u0915\u094d\u0937\u093f \u09ac\u09be\u0982\u09b2\u09be \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u0e33 \u0dc1\u0dca\u200d\u0dbb\u0dd3 \u1019\u103c\u1014\u103a \u1780\u17d2\u1781",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1eb\U0001f1f7 \U0001f44d\U0001f3fd \u2764\ufe0f \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 1\ufe0f\u20e3",
    "\ufffd x\ufffdy \ufffe \uffff \U0010ffff \ud7ff\ue000 \U0000fdd0 \ufeffbom \u2060 \u00ad soft\u00adhyphen",
    "\x01\x02\x03 a\x07b \x0b \x0c \x1f \x7f \x80\x9f \x1b[0m", "a\x00b", "\u0000", "line\rreturn",
    "\u00ab\u00bb \u201cq\u201d \u2018q\u2019 \u2014 \u2013 \u2026 \u3002\u3001 \uff01 \u060c\u061f \u0964 \u00bf\u00a1 \u2022 \u00a7 \u00b6 \u00a9 \u00ae \u2122 \u00d7 \u00f7 \u221a \u2211 \u2192",
    "\U0001d4d7\U0001d4ee\U0001d4f5\U0001d4f5\U0001d4f8 \uff28\uff45\uff4c\uff4c\uff4f \u24d7\u24d4 \u1d2c \u02b0 \u2090 \ufdfa \u3392 \u33a5 \u32ff \ua7f2",
    "\u1e030\u1e95e \U0001e030 \U00011938 \U00010781 \u1c89\ua7cb\ua7dc \U00010d50 \U0001e922 \U000118a0 \u13a0 \uab70 \u10a0 \u1c90",
    "\u0d4e \u0890 \u08e2 \U000110cd \U00013430 \u061c \u06dd \u180e a\u180eb \u166d \U000111c9 \u2e43 \u07fd \u0898 \u1ac1 \U00011f00",
    "[CLS] [SEP] [MASK][MASK] [mask] [ MASK ] x[MASK]y [UNK] [PAD]", "<s> </s> <mask> a <mask>b<mask> c  <mask>  <pad><unk>", "##ing ## # a##b",
    "a" * 99, "a" * 100, "a" * 101, "b" * 3000, "\u00e9" * 100, "\u00e9" * 101, "e\u0301" * 60, "\u6f22" * 200, "!" * 300, "1" * 200, "\u0301" * 500,
    "x" + "\u0316\u0301" * 300, "https://example.org/a_b?c=d&e=%20#f user@example.org C:\\dir\\f.txt 192.168.0.1 12:30 2024-01-31",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis unaffable", "iPhone McDonald's eBay U.S.A. e.g. i.e. Ph.D. AT&T",
]

RANGES = [
    (0x20, 0x7F), (0x20, 0x7F), (0x20, 0x7F), (0x80, 0x100), (0x100, 0x250), (0x300, 0x370), (0x370, 0x530), (0x530, 0x700), (0x900, 0xE00),
    (0xE00, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2C00), (0x3000, 0x3100), (0x4E00, 0xA000), (0xA640, 0xB000), (0xAC00, 0xD7A4),
    (0xF900, 0xFFFF), (0x10000, 0x12000), (0x16800, 0x17000), (0x1D000, 0x1E000), (0x1E000, 0x1F000), (0x1F000, 0x1FB00), (0x20000, 0x20100), (0xE0000, 0xE0200),
]  # fmt: skip


def random_text(rng):
    out = []
    for _ in range(rng.randrange(1, 40)):
        low, high = rng.choice(RANGES)
        out.append(chr(rng.randrange(low, high)))
        if rng.random() < 0.15:
            out.append(rng.choice(["  ", " ", "'s", "\u0301", "\u00a0", "'", "\u200d"]))
    return "".join(out).replace("\x7f", "")


def torture(random_texts=400, blocks=True):
    rng = random.Random(20240131)
    texts = list(BY_HAND)
    texts += [random_text(rng) for _ in range(random_texts)]
    if blocks:  # every code point once
        points = [c for c in range(0x20, 0x110000) if not 0xD800 <= c <= 0xDFFF]
        texts += [" ".join(map(chr, points[i : i + 64])) for i in range(0, len(points), 64) if points[i] < 0x32000 or points[i] > 0xDFFFF]
        texts += ["a".join(map(chr, points[i : i + 64])) for i in range(0, len(points), 64) if points[i] < 0x32000]
    return [t for t in texts if "\t" not in t and "\n" not in t]
