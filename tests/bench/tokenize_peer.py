#!/usr/bin/env python3
"""Speed of the tokenizers beside Hugging Face's fast tokenizers (Rust), one thread each: every sentence of SST-2's training set,
at most 128 tokens. The peer gets all sentences in one call of encode_batch_fast, which leaves out the offsets, as ours does.

`./dev bench text` and the peer run in alternation, so that they meet the same machine; each takes its least time of several
passes, and the table shows medians of the rounds. Times are processor seconds.

    tokenize_peer.py --sst2 DIR TOKENIZER_DIR...  [--rounds N]
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FEDPET_BIN", ROOT / "build/release"))
MAX_LENGTH, PASSES = 128, 3


def measure_fedpet(tokenizer: pathlib.Path, text: pathlib.Path) -> tuple[int, float]:
    """Tokens, and seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run([BIN / "bench_suite", "--scratch", scratch, "--json", "--tokenizer", tokenizer, "--text", text, "text"],
                              check=True, stdout=subprocess.PIPE, text=True)
    row = next(row for row in map(json.loads, done.stdout.splitlines()) if row["name"] == "encode lines")
    return int(row["tokens"]), row["seconds"]


def peer(tokenizer: str, text: str) -> None:
    """In a process of its own, which has one thread; prints tokens and seconds."""
    from tokenizers import Tokenizer

    t = Tokenizer.from_file(f"{tokenizer}/tokenizer.json")
    t.no_padding()
    t.enable_truncation(MAX_LENGTH)
    lines = pathlib.Path(text).read_text(encoding="utf-8").splitlines()
    taken = []
    for _ in range(PASSES):
        begun = time.process_time()
        encoded = t.encode_batch_fast(lines)
        taken.append(time.process_time() - begun)
    print(json.dumps([sum(len(e) for e in encoded), min(taken)]))


def measure_peer(tokenizer: pathlib.Path, text: pathlib.Path) -> tuple[int, float]:
    one = os.environ | {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, "--peer", tokenizer, text], check=True, stdout=subprocess.PIPE, env=one)
    return tuple(json.loads(done.stdout))


def main() -> None:
    if sys.argv[1:2] == ["--peer"]:
        peer(*sys.argv[2:])
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tokenizer", type=pathlib.Path, nargs="+", help="folder with tokenizer.json")
    p.add_argument("--sst2", type=pathlib.Path, required=True, help="GLUE's SST-2 folder")
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = (a.sst2 / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
        text = pathlib.Path(scratch) / "sentences.txt"
        text.write_text("".join(row.split("\t")[0] + "\n" for row in rows), encoding="utf-8")
        print(f"{len(rows)} sentences of SST-2, one thread, medians of {a.rounds}\n")
        print("| tokenizer | tokens | fedpet | Hugging Face | speed-up |\n|---|---|---|---|---|")
        for folder in a.tokenizer:
            ours, theirs = [], []
            for _ in range(a.rounds):
                ours.append(measure_fedpet(folder, text))
                theirs.append(measure_peer(folder, text))
            if {n for n, _ in ours} != {n for n, _ in theirs}:
                sys.exit(f"{folder}: {ours[0][0]} tokens here, {theirs[0][0]} there")
            rates = [statistics.median(n / seconds for n, seconds in runs) for runs in (ours, theirs)]
            print(f"| {folder.name} | {ours[0][0]} | {rates[0] * 1e-6:.2f} M tokens/s | {rates[1] * 1e-6:.2f} M tokens/s | {rates[0] / rates[1]:.2f} |")


if __name__ == "__main__":
    main()
