#!/usr/bin/env python3
"""Makes tests/text/golden/tasks.json: what the libraries that others use make of splits, words and tags.

    cut       scikit-learn's train_test_split(range(n), random_state=42): the head, the tail and a weighted sum of both parts
    words     tokenizers' encode(words, is_pretokenized=True) with the two small tokenizers of this folder: ids, and the number of
              the word that begins with each, or -1
    entities  seqeval's get_entities on random tags: for each type, how many are true, predicted, and both

    pip install scikit-learn seqeval tokenizers; python tests/interop/tasks_golden.py"""

import copy
import json
import random
from pathlib import Path

from seqeval.metrics.sequence_labeling import get_entities
from sklearn.model_selection import train_test_split
from tokenizers import Tokenizer

GOLDEN = Path(__file__).resolve().parents[2] / "tests/text/golden"

SENTENCES = [
    ["EU", "rejects", "German", "call", "."],
    ["Don't", "re-enter", "1996-08-22", "$5.20", "(he's)", "naïve", "ﬁne", "İstanbul"],
    ["a"],
    ["\u200b", "zero", "\u0007", "width"],
    ["unbelievably", "predicted", "combinations", "of", "thesis", "statements"] * 3,
    ["日本", "語", "🙂", "x"],
]
SCHEMES = {
    "iob2": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "iobes": ["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC-x", "I-LOC-x", "E-LOC-x", "S-LOC-x"],
    "bare": ["B", "I", "O", "E", "S"],
}


def weighted_sum(rows):
    return sum(i * row for i, row in enumerate(rows)) % 2**32


def cut(n, share):
    train, valid = train_test_split(range(n), random_state=42, test_size=share)
    parts = {}
    for name, rows in (("train", train), ("valid", valid)):
        parts[name] = {"n": len(rows), "head": rows[:4], "tail": rows[-4:], "sum": weighted_sum(rows)}
    return {"n": n, "share": share, **parts}


def begins(encoding):
    seen, result = set(), []
    for word in encoding.word_ids:
        result.append(-1 if word is None or word in seen else word)
        seen.add(word)
    return result


def words(name, max_length):
    spec = copy.deepcopy(json.loads((GOLDEN / f"{name}.json").read_text()))
    spec["truncation"] = spec["padding"] = None
    if name == "bytes":
        spec["pre_tokenizer"]["add_prefix_space"] = True
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.enable_truncation(max_length)
    rows = []
    for sentence in SENTENCES:
        encoding = tokenizer.encode(sentence, is_pretokenized=True)
        rows.append({"words": sentence, "ids": encoding.ids, "begins": begins(encoding)})
    return {"tokenizer": name, "max_length": max_length, "rows": rows}


def entities(name, tags, rng):
    total, pairs = {}, []
    for _ in range(60):
        n = rng.randrange(1, 12)
        truth = [rng.choice(tags) for _ in range(n)]
        guess = [tag if rng.random() < 0.6 else rng.choice(tags) for tag in truth]
        pairs.append([[tags.index(t) for t in truth], [tags.index(g) for g in guess]])
        is_, said = set(get_entities(truth)), set(get_entities(guess))
        for k, found in enumerate((is_, said, is_ & said)):
            for kind, _, _ in found:
                total.setdefault(kind, [0, 0, 0])[k] += 1
    return {"scheme": name, "tags": tags, "pairs": pairs, "types": total}


def main():
    rng = random.Random(11)
    golden = {
        "cut": [cut(n, share) for n, share in ((10, 0.1), (11, 0.1), (101, 0.01), (2490, 0.1), (67349, 0.01))],
        "words": [words(name, length) for name in ("wordpiece", "bytes") for length in (16, 64)],
        "entities": [entities(name, tags, rng) for name, tags in SCHEMES.items()],
    }
    (GOLDEN / "tasks.json").write_text(json.dumps(golden, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
