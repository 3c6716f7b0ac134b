#!/usr/bin/env python3
"""Speed of masked-language-model pretraining: `fedpet-client pretrain` beside PyTorch + transformers, same architecture.

The architecture of the quick start's model (a RoBERTa of 3 layers, width 256 and 8,192 tokens, 4.6 M parameters), all
weights trained by AdamW with dropout 0.1, 50 sequences of 64 tokens a step, F32. Both run in alternation, so that they meet the same machine; the table shows medians.
GFLOP/s count the matrix products that a step needs, with the decoder for masked tokens only; PyTorch's model computes it
for all, which is not counted. The client is $FEDPET_BIN/fedpet-client, by default in build/release.

    pretrain_peer.py [THREADS [STEPS [ROUNDS]]]
"""
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile

LAYERS, WIDTH, HEADS, FFN, VOCAB, LENGTH, BATCH = 3, 256, 4, 1024, 8192, 64, 50
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENT = pathlib.Path(os.environ.get("FEDPET_BIN", ROOT / "build/release")) / "fedpet-client"

CONFIG = {"model_type": "roberta", "vocab_size": VOCAB, "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
          "num_attention_heads": HEADS, "intermediate_size": FFN, "max_position_embeddings": LENGTH + 2, "type_vocab_size": 1,
          "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def flops_per_token() -> float:
    """Forward and twice that backward; the last layer's queries, outputs and feed-forward for masked tokens only."""
    masked, square, wide, attention = 0.15, WIDTH**2, 2 * WIDTH * FFN, 2 * WIDTH * LENGTH
    full = 4 * square + wide + attention
    last = 2 * square + masked * (2 * square + wide + attention)
    return 6 * ((LAYERS - 1) * full + last + masked * (square + WIDTH * VOCAB))


def make_input(folder: pathlib.Path, sequences: int) -> None:
    """Lines of random words, each word a token, each line a sequence."""
    words = [f"w{i}" for i in range(VOCAB - len(SPECIAL))]
    tokenizer = {
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
        "model": {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
                  "vocab": {word: i for i, word in enumerate(SPECIAL + words)}}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    random.seed(1)
    lines = (" ".join(random.choices(words, k=LENGTH - 2)) for _ in range(sequences))
    (folder / "text.txt").write_text("\n".join(lines) + "\n")


def measure_fedpet(folder: pathlib.Path, threads: int, steps: int) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [CLIENT, "pretrain", "--config", folder / "config.json", "--tokenizer", folder, "--data", folder / "text.txt",
             "--document", "line", "--hold-out", "0", "--out", f"{scratch}/out", "--threads", str(threads), "--format", "json",
             "--set", f"local.steps={steps}", "--set", f"local.batch_size={BATCH}", "--set", f"local.max_length={LENGTH}"],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    summary = json.loads(done.stdout)
    return {"tokens_per_s": summary["tokens_per_second"], "peak_mib": summary["peak_rss_bytes"] / 2**20}


def peer(threads: int, steps: int) -> None:
    """Runs in a process of its own: peak memory, and the number of threads, are a process's."""
    import time

    import torch
    import transformers

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = transformers.AutoModelForMaskedLM.from_config(transformers.RobertaConfig(**CONFIG)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01)

    def step():
        ids = torch.randint(len(SPECIAL), VOCAB, (BATCH, LENGTH))
        masked = torch.rand(ids.shape) < 0.15
        loss = model(input_ids=ids.masked_fill(masked, 4), labels=ids.masked_fill(~masked, -100)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def sgemm_rate() -> float:
        a, b, best = torch.rand(1024, WIDTH), torch.rand(WIDTH, FFN), 0.0
        for _ in range(20):
            start = time.monotonic()
            a @ b
            best = max(best, 2e-9 * 1024 * WIDTH * FFN / (time.monotonic() - start))
        return best

    step()
    start = time.monotonic()
    for _ in range(steps):
        step()
    seconds = time.monotonic() - start
    print(json.dumps({"tokens_per_s": steps * BATCH * LENGTH / seconds, "sgemm": sgemm_rate(),
                      "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}))


def measure_peer(threads: int, steps: int) -> dict:
    settings = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, __file__, "--peer", str(threads), str(steps)], check=True,
                          stdout=subprocess.PIPE, env=os.environ | settings)
    return json.loads(done.stdout)


def main() -> None:
    if sys.argv[1:2] == ["--peer"]:
        peer(int(sys.argv[2]), int(sys.argv[3]))
        return
    threads, steps, rounds = (int(x) for x in (sys.argv[1:] + ["2", "10", "3"][len(sys.argv) - 1:]))
    runs = {"fedpet": [], "pytorch": []}
    with tempfile.TemporaryDirectory() as folder:
        make_input(pathlib.Path(folder), steps * BATCH)
        for _ in range(rounds):
            runs["fedpet"].append(measure_fedpet(pathlib.Path(folder), threads, steps))
            runs["pytorch"].append(measure_peer(threads, steps))
    sgemm = max(r["sgemm"] for r in runs["pytorch"])
    print(f"{threads} threads, {steps} steps of {BATCH} x {LENGTH} tokens; torch.mm reaches {sgemm:.0f} GFLOP/s")
    print(f"{'':8} {'tokens/s':>9} {'GFLOP/s':>8} {'of sgemm':>9} {'peak MiB':>9}")
    for who, all_runs in runs.items():
        rate, peak = (statistics.median(r[key] for r in all_runs) for key in ("tokens_per_s", "peak_mib"))
        gflops = rate * flops_per_token() * 1e-9
        print(f"{who:8} {rate:9.0f} {gflops:8.1f} {gflops / sgemm:9.0%} {peak:9.0f}")


if __name__ == "__main__":
    main()
