#!/usr/bin/env python3
"""Makes tests/text/golden/training.json: texts, and what Hugging Face's BpeTrainer learns from them.

A list of {texts, vocab_size, min_frequency, lowercase, prefix_space, tokens (from id 261 on), merges ("left right")}: small
random texts with ties and repeated letters, odd Unicode, and prose.

    python tests/interop/tokenizer_training_golden.py"""

import json
import random

from tokenizer_golden import GOLDEN, corpus
from tokenizer_training_parity import merges_of, random_texts, reference


def case(texts, size, frequency=2, lowercase=False, prefix_space=False):
    model = json.loads(reference(texts, size, frequency, lowercase, prefix_space)[0].to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return {
        "texts": texts,
        "vocab_size": size,
        "min_frequency": frequency,
        "lowercase": lowercase,
        "prefix_space": prefix_space,
        "tokens": tokens[261:],
        "merges": merges_of(model),
    }


def main():
    rng = random.Random(3)
    cases = [
        case(["the quick brown fox", "jumps over lazy dogs"], 400, 1),  # all pairs once
        case(["aaaaaaa aaaa aa aaaaaaaaaaaa"], 300, 1),
        case(["<mask> <s> </s><s>", "it's <pad>"], 300, 1),
        case(["\u0130stanbul ÄÖÜ \u1e9e", "i\u0307 äöü ß"] * 2, 320, 2, lowercase=True),
        case(["ab", " ab", "ab ab", "\tab\n\n ab"] * 2, 300, 2, prefix_space=True),
        case(corpus()[:120], 700),
    ]
    for _ in range(60):
        cases.append(case(random_texts(rng), rng.choice([262, 270, 300, 400]), rng.choice([1, 1, 2, 3])))
    with open(GOLDEN / "training.json", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
