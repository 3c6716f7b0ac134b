#!/usr/bin/env python3
"""Centralised tuning: fedpet-client train beside PyTorch with peft or adapters, same model, data and hyper-parameters, over some seeds.

Both start from the same initial adapter and head (written by fedpet-client, read by the library), and see the same batches in the same
order (fedpet's shuffling, remade here); their dropout differs, so single runs differ, and their mean dev accuracies must agree within one
point. LoRA: peft. BitFit: every bias of the torch model. Adapter (Houlsby's placement): adapters, which needs a venv of its own
(--hub-python, default .cache/venv-adapterhub, which `./dev interop` makes). Needs a model directory and GLUE folders: --model (default $FEDPET_MODEL),
--glue (default $FEDPET_SHARED/data/glue). Prints a table; exits 1 when a row disagrees, 77 when the data is absent.

    ./dev interop tests/interop/learning_compare.py        # takes hours, so plain `./dev interop` leaves it out
    .cache/venv/bin/python tests/interop/learning_compare.py --methods lora --tasks mrpc --seeds 1
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
    # folder, reader of one row -> (a, b or None, label)
    "mrpc": ("MRPC", lambda r: (r[3], r[4], int(r[0]))),
    "sst2": ("SST-2", lambda r: (r[0], None, int(r[1]))),
    "rte": ("RTE", lambda r: (r[1], r[2], ["entailment", "not_entailment"].index(r[-1]))),
}
METHODS = {
    # settings of peft, learning rate
    "lora": ("r: 8, alpha: 8, targets: [query, value]", 1e-3),
    "adapter": ("bottleneck: 16, placement: houlsby", 1e-3),
    "bitfit": ("biases: all", 1e-3),
}
BATCH, MAX_LENGTH = 32, 128


class Philox:
    """The stream of common/base/rng.h: (seed, round, client, purpose), or a child of it."""

    MASK = 0xFFFFFFFF

    def __init__(self, key, high):
        self.key, self.high, self.position, self.words = key, high, 0, []

    @staticmethod
    def block(ctr, key):
        c0, c1, c2, c3 = ctr
        k0, k1 = key
        for _ in range(10):
            p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
            c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & Philox.MASK, (p0 >> 32) ^ c3 ^ k1, p0 & Philox.MASK
            k0, k1 = (k0 + 0x9E3779B9) & Philox.MASK, (k1 + 0xBB67AE85) & Philox.MASK
        return c0, c1, c2, c3

    @classmethod
    def stream(cls, seed, round_, client, purpose):
        name = cls.block((round_, client, purpose, cls.MASK), (seed & cls.MASK, seed >> 32))
        return cls(name[:2], name[2:])

    def child(self, index):
        name = self.block((index, 1 << 31, *self.high), self.key)
        return Philox(name[:2], name[2:])

    def u32(self):
        if not self.words:
            self.words = list(self.block((self.position & self.MASK, self.position >> 32, *self.high), self.key))
            self.position += 1
        return self.words.pop(0)

    def below(self, n):
        product = self.u32() * n
        if product & self.MASK < n:
            biased = (1 << 32) % n
            while product & self.MASK < biased:
                product = self.u32() * n
        return product >> 32

    def shuffled(self, n):
        order = list(range(n))
        for i in range(n, 1, -1):
            j = self.below(i)
            order[j], order[i - 1] = order[i - 1], order[j]
        return order


def batches(n, epochs, seed):
    """The example numbers of every optimiser step of `fedpet-client train`: streams of purpose 4 (shuffle), one child an epoch."""
    for epoch in range(epochs):
        order = Philox.stream(seed, 0, 0, 4).child(epoch).shuffled(n)
        yield from (order[i : i + BATCH] for i in range(0, n, BATCH))


def read(path, row):
    with open(path, encoding="utf-8-sig", newline="") as f:
        rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [row(r) for r in rows if r]


def torch_model(model_dir, method, start, dropout):
    """The model with the initial values of `start`, and only what the method trains asking for gradients."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification

    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    base = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=2, attn_implementation="eager", **rates)
    if method == "lora":
        from peft import PeftModel

        return PeftModel.from_pretrained(base, start, is_trainable=True)
    if method == "adapter":
        import adapters

        adapters.init(base)
        name = base.load_adapter(str(start), use_safetensors=True, with_head=False)
        base.train_adapter(name)
    else:
        for key, p in base.named_parameters():
            p.requires_grad_(key.endswith(".bias"))
    head = {k: v for f in pathlib.Path(start).glob("*.safetensors") for k, v in load_file(f).items() if "classifier" in k or k.startswith("heads.")}
    weight = next(v for k, v in head.items() if k.endswith("weight"))
    bias = next(v for k, v in head.items() if k.endswith("bias"))
    with torch.no_grad():
        base.classifier.weight.copy_(weight)
        base.classifier.bias.copy_(bias)
    for p in base.classifier.parameters():
        p.requires_grad_(True)
    return base


def train_torch(a):
    import torch
    from transformers import AutoTokenizer, get_linear_schedule_with_warmup

    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    name, row = TASKS[a.task]
    tok = AutoTokenizer.from_pretrained(a.model)
    model = torch_model(a.model, a.method, a.start, a.dropout)
    train, dev = (read(a.glue / name / f"{s}.tsv", row) for s in ("train", "dev"))

    def encode(rows):
        x, y = [r[0] for r in rows], [r[1] for r in rows]
        enc = tok(x, y if y[0] is not None else None, truncation="longest_first", max_length=MAX_LENGTH, padding=True, return_tensors="pt")
        return enc, torch.tensor([r[2] for r in rows])

    params = [p for p in model.parameters() if p.requires_grad]
    plan = list(batches(len(train), a.epochs, a.seed))
    opt = torch.optim.AdamW(params, lr=METHODS[a.method][1], weight_decay=0.0)
    sched = get_linear_schedule_with_warmup(opt, 0, len(plan))
    begun = time.monotonic()
    model.train()
    for batch in plan:
        enc, y = encode([train[j] for j in batch])
        loss = model(**enc, labels=y).loss
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        sched.step()
    seconds = time.monotonic() - begun
    model.eval()
    right = 0
    with torch.no_grad():
        for i in range(0, len(dev), 64):
            enc, y = encode(dev[i : i + 64])
            right += int((model(**enc).logits.argmax(-1) == y).sum())
    print(json.dumps({"value": right / len(dev), "seconds": seconds, "trainable": sum(p.numel() for p in params), "steps": len(plan)}))


def train_fedpet(a, method, task, seed, out, lr=None, steps=0):
    peft, default = METHODS[method]
    config = out.with_suffix(".yaml")
    config.write_text(
        f"model: {a.model}\n"
        f"task: {{name: {task}, data: {a.glue / TASKS[task][0]}, metric: accuracy}}\n"
        f"peft: {{method: {method}, {peft}}}\n"
        f"federation: {{seed: {seed}}}\n"
        f"local: {{epochs: {a.epochs}, steps: {steps}, batch_size: {BATCH}, lr: {default if lr is None else lr}, max_length: {MAX_LENGTH}, "
        f"model_dropout: {a.dropout}}}\n"
    )
    command = [a.client, "train", "--config", config, "--out", out, "--threads", str(a.threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return json.loads((out / "summary.json").read_text())


def compare(a, method, task, seed):
    """One row: (value, value of the peer), seconds likewise."""
    with tempfile.TemporaryDirectory() as tmp:
        start, done = pathlib.Path(tmp) / "start", pathlib.Path(tmp) / "done"
        train_fedpet(a, method, task, seed, start, lr=0, steps=1)
        ours = train_fedpet(a, method, task, seed, done)
        python = a.hub_python if method == "adapter" else sys.executable
        command = [python, __file__, "--peer", "--method", method, "--task", task, "--seed", str(seed), "--start", start / "adapter"]
        command += ["--model", a.model, "--glue", a.glue, "--epochs", str(a.epochs), "--threads", str(a.threads), "--dropout", str(a.dropout)]
        peer = subprocess.run(command, capture_output=True, text=True)
        if peer.returncode != 0:
            sys.exit(peer.stderr)
        theirs = json.loads(peer.stdout.splitlines()[-1])
    return (ours["value"], theirs["value"]), (ours["train_seconds"], theirs["seconds"]), theirs["steps"]


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = pathlib.Path(os.environ.get("FEDPET_SHARED", ROOT.parent / "shared"))
    hub = pathlib.Path(os.environ.get("FEDPET_HUB_VENV", ROOT / ".cache/venv-adapterhub")) / "bin/python"
    p.add_argument("--client", type=pathlib.Path, default=ROOT / "build/release/fedpet-client")
    p.add_argument("--model", type=pathlib.Path, default=os.environ.get("FEDPET_MODEL", ROOT / ".cache/all-MiniLM-L6-v2"))
    p.add_argument("--glue", type=pathlib.Path, default=shared / "data/glue")
    p.add_argument("--hub-python", type=pathlib.Path, default=hub)
    p.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    p.add_argument("--tasks", nargs="+", choices=TASKS, default=["mrpc", "rte"])
    p.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    for hidden in ("--method", "--task", "--start"):
        p.add_argument(hidden, help=argparse.SUPPRESS)
    p.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    p.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    return p.parse_args()


def main():
    a = options()
    if a.peer:
        train_torch(a)
        return 0
    if not a.model.is_dir() or not a.glue.is_dir():
        print(f"skipped: needs a model at {a.model} and GLUE at {a.glue}")
        return 77
    if "adapter" in a.methods and not a.hub_python.exists():
        print(f"adapter left out: needs a Python with the adapters library at {a.hub_python}")
        a.methods.remove("adapter")
    failed = False
    print("| method | task | steps | seed | fedpet | PyTorch | seconds fedpet | seconds PyTorch |\n|---|---|---|---|---|---|---|---|")
    for task in a.tasks:
        for method in a.methods:
            rows = []
            for seed in a.seeds:
                values, seconds, steps = compare(a, method, task, seed)
                rows.append(values)
                print(f"| {method} | {task} | {steps} | {seed} | {values[0]:.4f} | {values[1]:.4f} | {seconds[0]:.0f} | {seconds[1]:.0f} |", flush=True)
            ours, theirs = (statistics.mean(column) for column in zip(*rows))
            gap = ours - theirs
            failed |= abs(gap) > 0.01
            verdict = "agree" if abs(gap) <= 0.01 else "DISAGREE"
            print(f"| {method} | {task} | | mean | {ours:.4f} | {theirs:.4f} | {verdict}: {100 * gap:+.2f} points | |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
