#!/usr/bin/env python3
"""`fedpet-client train-tokenizer` beside Hugging Face's BpeTrainer on the same documents: the same vocabulary, the same
merges in the same order; the files load in transformers and in fedpet, and give the same ids on texts held out.

Texts: a few hundred random ones with many ties, repeated letters and Unicode, the torture list, and of $FEDPET_SHARED
BBC news and 20 newsgroups.

    python tests/interop/tokenizer_training_parity.py --client build/release/fedpet-client"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizer_torture import torture
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("FEDPET_SHARED", ROOT.parent / "shared"))
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False, special=True)]


def reference(texts, size, frequency, lowercase, prefix_space):
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=frequency, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    start = time.monotonic()
    tokenizer.train_from_iterator(texts, trainer)
    seconds = time.monotonic() - start
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=prefix_space)
    return tokenizer, seconds


def ours(client, texts, out, size, frequency, lowercase, prefix_space):
    out.mkdir()
    data = out / "texts.jsonl"
    with open(data, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts)
    command = [client, "train-tokenizer", "--data", str(data), "--out", str(out), "--vocab-size", str(size),
               "--min-frequency", str(frequency)]  # fmt: skip
    command += ["--lowercase"] * lowercase + ["--prefix-space"] * prefix_space
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads((out / "tokenizer.json").read_text()), time.monotonic() - start


def merges_of(model):
    return [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]


def encode(client, out, texts):
    lines = "".join(t + "\n" for t in texts)
    done = subprocess.run([client, "tokenize", "--model", str(out)], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_loads(out, lowercase, want, texts):
    """transformers reads the folder, alone and as part of a RoBERTa model's."""
    wrong = []
    for config in None, {"model_type": "roberta"}:
        if config:
            (out / "config.json").write_text(json.dumps(config))
        tokenizer = AutoTokenizer.from_pretrained(out)
        name = type(tokenizer).__name__
        if not lowercase and not name.startswith("RobertaTokenizer"):
            wrong.append(f"AutoTokenizer made a {name}")
        if [tokenizer(t)["input_ids"] for t in texts] != want:
            wrong.append(f"AutoTokenizer ({name}, config {config}) gives other ids")
        if (tokenizer.mask_token_id, tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id) != (4, 1, 0, 2):
            wrong.append("AutoTokenizer has other special tokens")
    return wrong


def compare(client, parent, name, texts, held_out, size, frequency=2, lowercase=False, prefix_space=False, load=True):
    out = Path(parent) / name.replace(" ", "-")
    want, slow = reference(texts, size, frequency, lowercase, prefix_space)
    got, fast = ours(client, texts, out, size, frequency, lowercase, prefix_space)
    model = json.loads(want.to_str())["model"]
    wrong = []
    if got["model"]["vocab"] != model["vocab"]:
        wrong.append("vocabulary")
    pairs, expected = merges_of(got["model"]), merges_of(model)
    if pairs != expected:
        first = next((i for i, (a, b) in enumerate(zip(pairs, expected)) if a != b), min(len(pairs), len(expected)))
        wrong.append(f"merges from {first} on: {pairs[first:first + 3]}, not {expected[first:first + 3]}")
    held_out = [t for t in held_out if not set("\n\r\t\0") & set(t)]
    ids = [want.encode(t).ids for t in held_out]
    if encode(client, out, held_out) != ids:
        wrong.append("ids of texts held out")
    if load:
        wrong += check_loads(out, lowercase, ids, held_out)
    if wrong or load:
        print(f"{'FAIL' if wrong else 'ok  '} {name}: {len(texts)} texts, {len(pairs)} merges, {fast:.2f} s, "
              f"reference {slow:.2f} s {'; '.join(wrong)}", flush=True)  # fmt: skip
    return not wrong


def random_texts(rng):
    letters = rng.choice(["ab", "abc", "aab'", "xyz ", "a ", "äö€", "0123456789 ", "Aa é\u0301", "日本語 ab", "🙂🙃a"])
    return ["".join(rng.choices(letters, k=rng.randint(1, 30))) for _ in range(rng.randint(1, 40))]


def shared_texts(name, n):
    path = SHARED / "data/text" / name
    if not path.exists():
        return []
    raw = subprocess.run(["zstd", "-dc", str(path)], stdout=subprocess.PIPE, check=True).stdout
    rows = [json.loads(line) for line in raw.decode().split("\n")[:n] if line.strip()]
    return [next(row[k] for k in ("text", "article", "document") if k in row) for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", default=os.environ.get("FEDPET_BIN", str(ROOT / "build/release")) + "/fedpet-client")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    odd = [t for t in torture() if t and "\0" not in t]
    with tempfile.TemporaryDirectory() as parent:
        ok = compare(args.client, parent, "torture", odd, odd, 2000, 1)
        ok &= compare(args.client, parent, "torture lowercase", odd, odd, 2000, 1, lowercase=True)
        ok &= compare(args.client, parent, "all ties", ["the quick brown fox", "jumps over lazy dogs"], odd[:50], 400, 1)
        ok &= compare(args.client, parent, "special tokens as text", ["<mask> <s> a</s>b" * 3], odd[:50], 300, 1)
        rng = random.Random(1)
        same = 0
        for i in range(300):
            texts = random_texts(rng)
            same += compare(args.client, parent, f"random {i}", texts, texts, rng.choice([262, 270, 300, 500, 900]),
                            rng.choice([1, 1, 2, 3]), rng.random() < 0.2, rng.random() < 0.3, load=False)  # fmt: skip
        print(f"{'ok  ' if same == 300 else 'FAIL'} random texts: {same} of 300 the same")
        ok &= same == 300
        bbc = shared_texts("bbc_news_summary.jsonl.zst", 10**9)
        news = shared_texts("20newsgroups.jsonl.zst", 12000)
        for texts, name, size in (bbc, "BBC news", 8192), (news, "20 newsgroups", 16384):
            if not texts:
                print(f"skip {name}: not under $FEDPET_SHARED")
                continue
            cut = len(texts) - 200
            held_out = [" ".join(t.split()) for t in texts[cut:]]
            ok &= compare(args.client, parent, name, texts[:cut], held_out, size)
            ok &= compare(args.client, parent, f"{name} lowercase", texts[:cut], held_out, 4096, 3, True, True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
