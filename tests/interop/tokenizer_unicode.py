#!/usr/bin/env python3
"""Where the character tables of Hugging Face's tokenizers differ from utf8proc's.

Hugging Face's fast tokenizers mix several versions of Unicode: each normaliser and pre-tokeniser has its own
tables. This script asks them about every code point and writes

    common/text/unicode_overrides.h     the differences to utf8proc, as ranges
    tests/text/golden/unicode.json      SHA-256 of every answer, which the unit tests recompute

    python tests/interop/tokenizer_unicode.py     (needs: tokenizers; libutf8proc 2.8.0 of Debian 12)
"""

import ctypes
import ctypes.util
import hashlib
import json
import struct
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "common/text/unicode_overrides.h"
GOLDEN = ROOT / "tests/text/golden/unicode.json"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]

utf8proc = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
utf8proc.utf8proc_version.restype = ctypes.c_char_p

CN, LU, LO, MN, ME, ND, NL, NO, PC, PO, CC, CO = 0, 1, 5, 6, 8, 9, 10, 11, 12, 18, 26, 29
DECOMPOSE, COMPAT = 1 << 4, 1 << 2


def category(c):
    return utf8proc.utf8proc_category(c)


def decomposes(c):
    out = (ctypes.c_int32 * 32)()
    last = ctypes.c_int(0)
    n = utf8proc.utf8proc_decompose_char(c, out, 32, DECOMPOSE | COMPAT, ctypes.byref(last))
    return list(out[:n]) != [c]


def bert(**options):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **options}).normalize_str


def word_probe():
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.add_tokens([AddedToken("\x01", single_word=True, normalized=False)])
    return lambda c: "\x01" not in tokenizer.encode(chr(c) + "\x01", add_special_tokens=False).tokens


def enclosed_letter(c):
    return 0x24B6 <= c <= 0x24E9 or 0x1F130 <= c <= 0x1F149 or 0x1F150 <= c <= 0x1F169 or 0x1F170 <= c <= 0x1F189


def properties():
    """name: (what Hugging Face says, what utf8proc says), functions of a code point."""
    clean, accents = bert(clean_text=True), bert(strip_accents=True)
    marks = normalizers.StripAccents().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    lower = normalizers.Lowercase().normalize_str
    nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str

    def atomic(c):
        return decomposes(c) and nfd(chr(c)) == nfkd(chr(c)) == chr(c)

    return {
        "control": (lambda c: c not in (0xFFFD,) and clean(chr(c)) == "", lambda c: CC <= category(c) <= CO),
        "punctuation": (lambda c: len(split("a" + chr(c) + "b")) == 3, lambda c: PC <= category(c) <= PO),
        "letter": (lambda c: len(gpt2("a" + chr(c))) == 1, lambda c: LU <= category(c) <= LO),
        "number": (lambda c: len(gpt2("1" + chr(c))) == 1, lambda c: ND <= category(c) <= NO),
        "nonspacing_mark": (lambda c: accents(chr(c)) == "", lambda c: category(c) == MN),
        "mark": (lambda c: marks(chr(c)) == "", lambda c: MN <= category(c) <= ME),
        "word": (
            word_probe(),
            lambda c: LU <= category(c) <= NL or category(c) == PC or c in (0x200C, 0x200D) or enclosed_letter(c),
        ),
        "atomic": (atomic, lambda c: False),
        "lower": (lambda c: ord(lower(chr(c))[0]) - c, lambda c: utf8proc.utf8proc_tolower(c) - c),
    }


def ranges(differences):
    out = []
    for c, value in differences:
        if out and out[-1][1] == c - 1 and out[-1][2] == value:
            out[-1][1] = c
        else:
            out.append([c, c, value])
    return out


def write_header(tables):
    lines = [
        "/* Where the character tables of Hugging Face tokenizers %s differ from those of utf8proc %s: ranges of code points with"
        % (tokenizers.__version__, utf8proc.utf8proc_version().decode()),
        " * the answer to give (for lower: what to add). Made by tests/interop/tokenizer_unicode.py; do not edit. */",
        "#ifndef TEXT_UNICODE_OVERRIDES_H",
        "#define TEXT_UNICODE_OVERRIDES_H",
        "",
        "#include <stdint.h>",
        "",
        "/* Sorted by first, disjoint. */",
        "struct unicode_override {",
        "    int32_t first, last, value;",
        "};",
        "",
        "// clang-format off",
    ]
    for name, table in tables.items():
        lines.append(f"static const struct unicode_override override_{name}[] = {{")
        cells = ["{0x%X, 0x%X, %d}," % (a, b, v) for a, b, v in table]
        line = "   "
        for cell in cells:
            if len(line) + 1 + len(cell) > 100:
                lines.append(line)
                line = "   "
            line += " " + cell
        lines += [line, "};"]
    lines += ["// clang-format on", "", "#endif", ""]
    HEADER.write_text("\n".join(lines))


def golden(functions):
    """SHA-256 over all code points, ascending: one byte per answer, or the normalised text and a line feed."""
    digest = {}
    for name, (hf, _) in functions.items():
        if name == "atomic":
            continue
        data = (struct.pack("<i", hf(c) + c) if name == "lower" else bytes([hf(c)]) for c in CODE_POINTS if c >= 0x80)
        digest[name] = hashlib.sha256(b"".join(data)).hexdigest()
    runs = {
        "NFD": normalizers.NFD(),
        "NFC": normalizers.NFC(),
        "NFKD": normalizers.NFKD(),
        "NFKC": normalizers.NFKC(),
        "Lowercase": normalizers.Lowercase(),
        "StripAccents": normalizers.StripAccents(),
        "BertNormalizer": normalizers.BertNormalizer(),
        "BertNormalizer cased": normalizers.BertNormalizer(lowercase=False),
    }
    for name, normalizer in runs.items():
        text = "".join(normalizer.normalize_str(chr(c)) + "\n" for c in CODE_POINTS)
        digest[name] = hashlib.sha256(text.encode()).hexdigest()
    return digest


def main():
    functions = properties()
    tables = {}
    for name, (hf, ours) in functions.items():
        differences = [(c, int(hf(c))) for c in CODE_POINTS if c >= 0x80 and hf(c) != ours(c)]
        tables[name] = ranges(differences)
        print(f"{name}: {len(differences)} code points, {len(tables[name])} ranges")
    write_header(tables)
    GOLDEN.write_text(json.dumps({"tokenizers": tokenizers.__version__, "sha256": golden(functions)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
