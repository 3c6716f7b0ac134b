#!/usr/bin/env python3
"""Makes tests/text/golden: two small tokenizers, odd texts, and what Hugging Face's tokenizers library makes of them.

    wordpiece.json, bytes.json   tokenizer.json files, trained here on made-up text
    texts.json                   what to tokenise
    cases.json                   variations: a base file, fields of it to replace, a length; and for each text a digest of the
                                 result, or the ids themselves: the first 8 hexadecimal digits of SHA-256 of "id:type id:type ..."
    shared.json                  SHA-256 of all ids (32 bits, little-endian) of real data sets, truncated at 128; only where the data is

    python tests/interop/tokenizer_golden.py"""

import copy
import hashlib
import json
import random
import struct
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from tokenizer_parity import SHARED, column_texts
from tokenizer_torture import torture

GOLDEN = Path(__file__).resolve().parents[2] / "tests/text/golden"

SYLLABLES = "ba be bo ca ce co da de di do fa fi ga go ha he ho in ing ed er ly un re pre ment tion s th the a of and to it is st str qu ck".split()


def corpus():
    """Made-up words of uneven frequency, with numbers, punctuation, capitals, and the odd texts once."""
    rng = random.Random(7)
    words = ["".join(rng.choice(SYLLABLES) for _ in range(rng.randrange(1, 5))) for _ in range(3000)]
    lines = []
    for _ in range(4000):
        line = [words[min(int(rng.paretovariate(0.7)), len(words)) - 1] for _ in range(rng.randrange(3, 15))]
        if rng.random() < 0.3:
            line.insert(rng.randrange(len(line)), str(rng.randrange(10 ** rng.randrange(1, 5))))
        lines.append(" ".join(line).capitalize() + rng.choice([".", "!", "?", ", it's so.", " (he's there)"]))
    return lines + torture(random_texts=100, blocks=False)


def wordpiece(lines):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=1800, limit_alphabet=300, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(24)  # the readers must ignore both
    tokenizer.enable_padding(length=32)
    return json.loads(tokenizer.to_str())


def byte_level(lines):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=1200, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    made = json.loads(tokenizer.to_str())
    made["added_tokens"][4]["lstrip"] = True
    made["model"]["merges"] = [" ".join(pair) for pair in made["model"]["merges"]]  # the older form
    return made


def added(content, id, **flags):
    off = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    return {"id": id, "content": content, **off, **flags}


def variations(bases):
    """(name, base, fields to replace)"""
    bert = lambda **o: {"normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **o}}  # noqa: E731
    chain = lambda kind, key, *parts: {"type": "Sequence", key: [p if isinstance(p, dict) else {"type": p} for p in parts]}  # noqa: E731
    level = lambda **o: {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **o}  # noqa: E731
    model = lambda base, **o: {"model": {**bases[base]["model"], **o}}  # noqa: E731
    template = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 2}}, {"SpecialToken": {"id": "end", "type_id": 1}}],
        "pair": [{"SpecialToken": {"id": "end", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 3}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"end": {"id": "end", "ids": [3, 4], "tokens": ["[SEP]", "[MASK]"]}},
    }
    n_wordpiece, n_bytes = (len(bases[b]["model"]["vocab"]) for b in ("wordpiece", "bytes"))
    own = bases["wordpiece"]["added_tokens"]
    strange = list(own)
    for content, flags in [
        ("the", {"single_word": True}), ("ing", {"lstrip": True}), ("ingly", {"rstrip": True}), ("CAF\u00c9", {"normalized": True}),
        ("won", {"normalized": True, "single_word": True, "lstrip": True, "rstrip": True}), ("\u4e2d\u6587", {}), (" a ", {"special": True}),
        ("WON", {"normalized": True}),
    ]:  # fmt: skip
        known = bases["wordpiece"]["model"]["vocab"].get(content)
        strange.append(added(content, n_wordpiece if known is None else known, **flags))
        n_wordpiece += known is None
    return [
        ("uncased", "wordpiece", {}),
        ("cased", "wordpiece", bert(lowercase=False)),
        ("cased, accents stripped", "wordpiece", bert(lowercase=False, strip_accents=True)),
        ("uncased, accents kept", "wordpiece", bert(strip_accents=False)),
        ("not cleaned", "wordpiece", bert(clean_text=False)),
        ("ideographs together", "wordpiece", bert(handle_chinese_chars=False)),
        ("NFD, lower case, marks stripped", "wordpiece", {"normalizer": chain("", "normalizers", "NFD", "Lowercase", "StripAccents")}),
        ("NFC", "wordpiece", {"normalizer": {"type": "NFC"}}),
        ("NFKC then BERT", "wordpiece", {"normalizer": chain("", "normalizers", "NFKC", chain("", "normalizers", bert()["normalizer"]))}),
        ("NFKD", "wordpiece", {"normalizer": {"type": "NFKD"}}),
        ("no normaliser", "wordpiece", {"normalizer": None}),
        ("BertProcessing", "wordpiece", {"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}}),
        ("no special tokens", "wordpiece", {"post_processor": None}),
        ("odd template", "wordpiece", {"post_processor": template}),
        ("short words, other marks", "wordpiece", model("wordpiece", max_input_chars_per_word=6, unk_token="[MASK]", continuing_subword_prefix="b")),
        ("added tokens", "wordpiece", {"added_tokens": strange}),
        ("added tokens, no pre-tokeniser", "wordpiece", {"added_tokens": strange, "pre_tokenizer": None}),
        ("GPT-2", "bytes", {}),
        ("prefix space", "bytes", {"pre_tokenizer": level(add_prefix_space=True)}),
        ("no regex", "bytes", {"pre_tokenizer": level(use_regex=False)}),
        ("lower case, prefix space", "bytes", {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": level(add_prefix_space=True)}),
        ("NFC bytes", "bytes", {"normalizer": {"type": "NFC"}, "post_processor": level()}),
        ("BERT's words as bytes", "bytes", {"pre_tokenizer": chain("", "pretokenizers", "BertPreTokenizer", level(add_prefix_space=True))}),
        ("bytes as BERT's words", "bytes", {"pre_tokenizer": chain("", "pretokenizers", level(), "BertPreTokenizer")}),
        ("bytes twice", "bytes", {"pre_tokenizer": chain("", "pretokenizers", level(use_regex=False), level())}),
        ("characters, unknown ones fused", "bytes", {"pre_tokenizer": None, **model("bytes", unk_token="<unk>", fuse_unk=True)}),
        ("characters, unknown ones apart", "bytes", {"pre_tokenizer": {"type": "BertPreTokenizer"}, **model("bytes", unk_token="<unk>")}),
        ("characters, unknown ones dropped", "bytes", {"pre_tokenizer": {"type": "BertPreTokenizer"}}),
        ("merges ignored", "bytes", model("bytes", ignore_merges=True)),
        ("untyped model", "bytes", {"model": {k: v for k, v in bases["bytes"]["model"].items() if k != "type"}}),
        ("masks", "bytes", {"added_tokens": bases["bytes"]["added_tokens"] + [added("hewn", n_bytes), added("'s it", n_bytes + 1, normalized=True, rstrip=True), added("it", bases["bytes"]["model"]["vocab"]["it"], lstrip=True)]}),
    ]  # fmt: skip


def patched(base, patch):
    made = copy.deepcopy(base)
    made.update(patch)
    made.update(truncation=None, padding=None)
    return Tokenizer.from_str(json.dumps(made))


def digest(encoding):
    text = " ".join(f"{i}:{t}" for i, t in zip(encoding.ids, encoding.type_ids))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def small_patch(base, patch):
    """The patch as the test applies it: "model" is merged into the base's model, an absent "type" is null."""
    out = dict(patch)
    if "model" in out:
        own = base["model"]
        out["model"] = {k: v for k, v in out["model"].items() if own.get(k) != v}
        if "type" not in patch["model"]:
            out["model"]["type"] = "remove"
    return out


def run(tokenizer, texts, pairs, length):
    tokenizer.no_truncation()
    if length is not None:
        tokenizer.enable_truncation(length, strategy="longest_first")
    others = texts[7:] + texts[:7]
    return [tokenizer.encode(a, b) if pairs else tokenizer.encode(a) for a, b in zip(texts, others)]


def shared():
    """"TOKENIZER TASK SPLIT" -> digest."""
    sets = {"sst2": ("SST-2", ["sentence"]), "mrpc": ("MRPC", ["#1 String", "#2 String"]), "rte": ("RTE", ["sentence1", "sentence2"])}
    out = {}
    for name in "bert-base-uncased", "roberta-base":
        tokenizer = Tokenizer.from_file(str(SHARED / "tokenizers" / name / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(128, strategy="longest_first")
        for task, (folder, columns) in sets.items():
            for split in "train", "dev":
                digest = hashlib.sha256()
                for row in column_texts(SHARED / "data/glue" / folder / f"{split}.tsv", *columns):
                    ids = tokenizer.encode(*row).ids
                    digest.update(struct.pack(f"<{len(ids)}i", *ids))
                out[f"{name} {task} {split}"] = digest.hexdigest()
    return out


def main():
    lines = corpus()
    bases = {"wordpiece": wordpiece(lines), "bytes": byte_level(lines)}
    texts = [t for t in torture(random_texts=40, blocks=False) if len(t) <= 1000] + lines[:20]
    cases = []
    for name, base, patch in variations(bases):
        tokenizer = patched(bases[base], patch)
        lengths = [(False, None), (True, None)]
        if not patch:
            lengths += [(False, 16), (True, 16), (True, 7), (False, 2), (True, 4)]
        for pairs, length in lengths:
            made = run(tokenizer, texts, pairs, length)
            case = {"name": name, "base": base, "patch": small_patch(bases[base], patch), "pairs": pairs, "max_length": length}
            case["digest"] = "".join(digest(e) for e in made)
            if not patch and not pairs and length is None:
                case["ids"] = [e.ids if len(e.ids) < 100 else None for e in made]
            cases.append(case)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    dump = lambda name, value: (GOLDEN / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")  # noqa: E731
    for name, base in bases.items():
        dump(f"{name}.json", base)
    # Hexadecimal: JSON cannot carry NUL into a C string.
    dump("texts.json", [t.encode().hex() for t in texts])
    dump("cases.json", {"tokenizers": tokenizers.__version__, "cases": cases})
    if SHARED.is_dir():
        dump("shared.json", shared())
    print(sum(f.stat().st_size for f in GOLDEN.iterdir()), "bytes in", GOLDEN)


if __name__ == "__main__":
    main()
