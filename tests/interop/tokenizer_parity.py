#!/usr/bin/env python3
"""Token ids of `fedpet-client tokenize` beside Hugging Face's fast tokenizers: they must be the same, every one.

Texts: all of SST-2 train, MRPC and RTE (single and as pairs), and the torture list; whole and truncated at 16 and 128.

    python tests/interop/tokenizer_parity.py --client build/release/fedpet-client [DIR...]

DIR: tokenizer directories; default bert-base-uncased and roberta-base of $FEDPET_SHARED/tokenizers, and $FEDPET_MODEL.
A directory is also tried without its tokenizer.json where it has vocab.txt, or vocab.json and merges.txt."""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tokenizers import Tokenizer
from tokenizer_torture import torture

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("FEDPET_SHARED", ROOT.parent / "shared"))
MODEL = Path(os.environ.get("FEDPET_MODEL", ROOT / ".cache/all-MiniLM-L6-v2"))
LENGTHS = [None, 128, 16]


def column_texts(path, *columns):
    with open(path, encoding="utf-8-sig", newline="") as f:
        rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    at = [rows[0].index(c) for c in columns]
    return [tuple(r[i] for i in at) for r in rows[1:] if len(r) > max(at)]


def inputs():
    """name -> list of (a, b); b None for single texts."""
    odd = torture()
    # The reference also makes every overflow of a truncated pair: quadratic in its length.
    short = [t for t in odd if len(t) <= 80]
    sets = {
        "torture": [(t, None) for t in odd],
        "torture pairs": list(zip(short, short[7:] + short[:7])),
        "empty pairs": [("", ""), ("a b c", ""), ("", "a b c"), (" ", " ")],
    }
    glue = SHARED / "data/glue"
    if glue.is_dir():
        sets["SST-2 train"] = [(t, None) for (t,) in column_texts(glue / "SST-2/train.tsv", "sentence")]
        for split in "train", "dev":
            sets[f"MRPC {split}"] = column_texts(glue / f"MRPC/{split}.tsv", "#1 String", "#2 String")
            sets[f"RTE {split}"] = column_texts(glue / f"RTE/{split}.tsv", "sentence1", "sentence2")
    return sets


def ours(client, directory, texts, length):
    command = [client, "tokenize", "--model", str(directory)] + (["--max-length", str(length)] if length else [])
    lines = "".join(a + ("" if b is None else "\t" + b) + "\n" for a, b in texts)
    start = time.monotonic()
    done = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()], time.monotonic() - start


def reference(directory, texts, length):
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if length:
        tokenizer.enable_truncation(length, strategy="longest_first")
    start = time.monotonic()
    ids = [tokenizer.encode(a, b).ids if b is not None else tokenizer.encode(a).ids for a, b in texts]
    return ids, time.monotonic() - start


def compare(client, directory, read_from, name, texts, length):
    want, slow = reference(directory, texts, length)
    got, fast = ours(client, read_from, texts, length)
    wrong = [i for i, (g, w) in enumerate(zip(got, want)) if g != w]
    same = len(got) == len(want) and not wrong
    kind = "" if read_from == directory else " (no tokenizer.json)"
    print(f"{'ok  ' if same else 'FAIL'} {directory.name}{kind}: {name}, length {length}: {len(want)} texts, "
          f"{sum(map(len, want))} ids; {fast:.2f} s, reference {slow:.2f} s", flush=True)  # fmt: skip
    for i in wrong[:5]:
        print(f"  {texts[i]!r}\n    reference {want[i]}\n    fedpet    {got[i]}")
    return same


def without_json(directory, parent):
    """A copy that holds the older files only, or None."""
    old = [f for f in ("vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json") if (directory / f).exists()]
    if not {"vocab.txt", "vocab.json"} & set(old):
        return None
    copy = Path(parent) / directory.name
    copy.mkdir()
    for f in old:
        shutil.copy(directory / f, copy)
    return copy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", default=os.environ.get("FEDPET_BIN", str(ROOT / "build/release")) + "/fedpet-client")
    parser.add_argument("directories", nargs="*", type=Path)
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    defaults = [SHARED / "tokenizers/bert-base-uncased", SHARED / "tokenizers/roberta-base", MODEL]
    directories = args.directories or [d for d in defaults if d.is_dir()]
    if not directories:
        print("skipped: no tokenizers under $FEDPET_SHARED and no $FEDPET_MODEL")
        return 77
    ok = True
    with tempfile.TemporaryDirectory() as parent:
        for directory in directories:
            for read_from in filter(None, [directory, without_json(directory, parent)]):
                for name, texts in inputs().items():
                    for length in LENGTHS:
                        ok &= compare(args.client, directory, read_from, name, texts, length)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
