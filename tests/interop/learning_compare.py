#!/usr/bin/env python3
"""Centralised LoRA: fedpet-client train beside PyTorch + peft, same model, data and hyper-parameters, over some seeds.

The two use different random numbers (initial LoRA A, head, shuffling, dropout), so single runs differ; their mean dev accuracies must
agree within one point. Needs a model directory and GLUE folders: --model (default $FEDPET_MODEL), --glue (default
$FEDPET_SHARED/data/glue). Prints a table; exits 1 when a task disagrees, 77 when the data is absent.

    ./dev interop tests/interop/learning_compare.py        # MRPC; takes half an hour, so plain `./dev interop` leaves it out
    .cache/venv/bin/python tests/interop/learning_compare.py --tasks mrpc sst2 --seeds 1 2 3
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TASKS = {
    # folder, optimiser steps, reader of one row -> (a, b or None, label)
    "mrpc": ("MRPC", 345, lambda r: (r[3], r[4], int(r[0]))),
    "sst2": ("SST-2", 300, lambda r: (r[0], None, int(r[1]))),
    "rte": ("RTE", 400, lambda r: (r[1], r[2], ["entailment", "not_entailment"].index(r[-1]))),
}
LORA = {"r": 8, "alpha": 8}
BATCH, LR, MAX_LENGTH = 32, 1e-3, 128


def read(path, row):
    with open(path, encoding="utf-8-sig", newline="") as f:
        rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [row(r) for r in rows if r]


def train_torch(model_dir, folder, task, steps, seed, threads):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    tok = AutoTokenizer.from_pretrained(model_dir)
    base = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=2)
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=LORA["r"], lora_alpha=LORA["alpha"], target_modules=["query", "value"]))
    train, dev = (read(folder / f"{s}.tsv", TASKS[task][2]) for s in ("train", "dev"))

    def encode(rows):
        a, b = [r[0] for r in rows], [r[1] for r in rows]
        enc = tok(a, b if b[0] is not None else None, truncation="longest_first", max_length=MAX_LENGTH, padding=True, return_tensors="pt")
        return enc, torch.tensor([r[2] for r in rows])

    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=LR, weight_decay=0.0)
    sched = get_linear_schedule_with_warmup(opt, 0, steps)
    start = time.monotonic()
    model.train()
    batches = []
    for _ in range(steps):
        if not batches:
            order = torch.randperm(len(train)).tolist()
            batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        enc, y = encode([train[j] for j in batches.pop(0)])
        loss = model(**enc, labels=y).loss
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        sched.step()
    seconds = time.monotonic() - start
    model.eval()
    right = 0
    with torch.no_grad():
        for i in range(0, len(dev), 64):
            enc, y = encode(dev[i : i + 64])
            right += int((model(**enc).logits.argmax(-1) == y).sum())
    return right / len(dev), seconds


def train_fedpet(client, model_dir, folder, task, steps, seed, threads):
    with tempfile.TemporaryDirectory() as tmp:
        config = pathlib.Path(tmp) / "experiment.yaml"
        config.write_text(
            f"model: {model_dir}\n"
            f"task: {{name: {task}, data: {folder}, metric: accuracy}}\n"
            f"peft: {{method: lora, r: {LORA['r']}, alpha: {LORA['alpha']}, targets: [query, value]}}\n"
            f"federation: {{seed: {seed}}}\n"
            f"local: {{steps: {steps}, batch_size: {BATCH}, lr: {LR}, max_length: {MAX_LENGTH}}}\n"
        )
        out = pathlib.Path(tmp) / "out"
        subprocess.run(
            [client, "train", "--config", config, "--out", out, "--threads", str(threads)],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        summary = json.loads((out / "summary.json").read_text())
        return summary["value"], summary["train_seconds"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = pathlib.Path(os.environ.get("FEDPET_SHARED", ROOT.parent / "shared"))
    p.add_argument("--client", default=ROOT / "build/release/fedpet-client")
    p.add_argument("--model", type=pathlib.Path, default=os.environ.get("FEDPET_MODEL", ROOT / ".cache/all-MiniLM-L6-v2"))
    p.add_argument("--glue", type=pathlib.Path, default=shared / "data/glue")
    p.add_argument("--tasks", nargs="+", choices=TASKS, default=["mrpc"])
    p.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    if not pathlib.Path(a.model).is_dir() or not a.glue.is_dir():
        print(f"skipped: needs a model at {a.model} and GLUE at {a.glue}")
        return 77
    failed = False
    print("| task | seed | fedpet | PyTorch + peft | seconds fedpet | seconds PyTorch |\n|---|---|---|---|---|---|")
    for task in a.tasks:
        name, steps, _ = TASKS[task]
        ours, theirs = [], []
        for seed in a.seeds:
            x, tx = train_fedpet(a.client, a.model, a.glue / name, task, steps, seed, a.threads)
            y, ty = train_torch(a.model, a.glue / name, task, steps, seed, a.threads)
            ours.append(x)
            theirs.append(y)
            print(f"| {task} | {seed} | {x:.4f} | {y:.4f} | {tx:.0f} | {ty:.0f} |", flush=True)
        gap = statistics.mean(ours) - statistics.mean(theirs)
        verdict = "agree" if abs(gap) <= 0.01 else "DISAGREE"
        failed |= abs(gap) > 0.01
        print(f"| {task} | mean | {statistics.mean(ours):.4f} | {statistics.mean(theirs):.4f} | {verdict}: {100 * gap:+.2f} points | |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
