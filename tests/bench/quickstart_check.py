#!/usr/bin/env python3
"""What the model of the quick start is worth: LoRA on it, on the same architecture with random weights, on another model
if there is one (--other), and a logistic regression on bags of words, which knows no model at all.

Two tasks: the sections of this machine's package descriptions (`fedpet-sim prepare debian`, four clients), in one place and
federated; and SST-2 if there is a folder of it (--sst2, default $FEDPET_SHARED/data/glue/SST-2), official train and dev. Prints
a table; accuracies in per cent. Needs scikit-learn (tests/interop/requirements.txt).

    .cache/venv/bin/python tests/bench/quickstart_check.py [--other DIR] [--seeds 1 2 3] [--skip-sst2]
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FEDPET_BIN", ROOT / "build/release"))
QUICKSTART = ROOT / "deploy/quickstart"
LORA = "{method: lora, r: 8, alpha: 16, targets: [query, value, attention_output, intermediate, output]}"


def run(*command) -> str:
    done = subprocess.run([str(x) for x in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def random_model(scratch: pathlib.Path) -> pathlib.Path:
    """The quick start's architecture and tokenizer, as initialised."""
    text = scratch / "any.txt"
    text.write_text("a text that nothing is learned from\n" * 8, encoding="utf-8")
    out = scratch / "random"
    run(BIN / "fedpet-client", "pretrain", "--config", QUICKSTART / "config.json", "--tokenizer", QUICKSTART / "model", "--data", text,
        "--document", "line", "--hold-out", "0", "--out", out, "--set", "local.steps=1", "--set", "local.lr=0", "--set", "local.max_length=32")
    return out


def bag_of_words(train, dev) -> float:
    words = CountVectorizer()
    model = LogisticRegression(max_iter=2000).fit(words.fit_transform([x for x, _ in train]), [y for _, y in train])
    return model.score(words.transform([x for x, _ in dev]), [y for _, y in dev])


class Debian:
    """Sections of packages; the settings of the demo, but for twenty epochs or rounds, and texts of 64 tokens."""

    def __init__(self, scratch: pathlib.Path):
        self.name, self.folder = "sections", scratch / "debian"
        run(BIN / "fedpet-sim", "prepare", "debian", "--clients", "4", "--out", self.folder)
        self.labels = (self.folder / "labels.txt").read_text().split()

    def rows(self, split):
        with open(self.folder / f"{split}.jsonl", encoding="utf-8") as f:
            return [(r["text"], r["label"]) for r in map(json.loads, f)]

    def words(self) -> float:
        return bag_of_words(self.rows("train"), self.rows("test"))

    def config(self, model, seed) -> str:
        return (f"model: {model}\ntask: {{name: text, data: {self.folder}, labels: [{', '.join(self.labels)}]}}\npeft: {LORA}\n"
                f"federation: {{clients: 4, per_round: 4, rounds: 20, partition: column, column: owner, seed: {seed}}}\n"
                "local: {epochs: 1, batch_size: 16, lr: 0.002, max_length: 64, model_dropout: 0}\n")

    kinds = ("federated", "local", "centralized")


class Sst2:
    """Film reviews' sentences, official train and dev; three epochs in one place."""

    def __init__(self, folder: pathlib.Path):
        self.name, self.folder = "sst2", folder

    def words(self) -> float:
        def rows(split):
            with open(self.folder / f"{split}.tsv", encoding="utf-8", newline="") as f:
                return [tuple(r) for r in list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]]
        return bag_of_words(rows("train"), rows("dev"))

    def config(self, model, seed) -> str:
        return (f"model: {model}\ntask: {{name: sst2, data: {self.folder}}}\npeft: {LORA}\n"
                f"federation: {{clients: 1, per_round: 1, rounds: 3, seed: {seed}}}\n"
                "local: {epochs: 1, batch_size: 32, lr: 0.001, max_length: 64, model_dropout: 0, decay_over_run: true}\n")

    kinds = ("centralized",)


def accuracy(task, kind, model, seed, threads, scratch) -> float:
    config = scratch / "experiment.yaml"
    config.write_text(task.config(model, seed), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        baseline = [] if kind == "federated" else ["--baseline", kind]
        run(BIN / "fedpet-sim", "run", config, "--out", f"{out}/results", "--no-adapter", "--threads", threads, *baseline)
        return json.loads(pathlib.Path(f"{out}/results/summary.json").read_text())["value"]


def main() -> None:
    shared = pathlib.Path(os.environ.get("FEDPET_SHARED", ROOT.parent / "shared"))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--other", type=pathlib.Path, help="another model directory to compare with")
    p.add_argument("--sst2", type=pathlib.Path, default=shared / "data/glue/SST-2")
    p.add_argument("--skip-sst2", action="store_true")
    p.add_argument("--seeds", nargs="+", type=int, default=[42])
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        models = {"quick start": QUICKSTART / "model", "random weights": random_model(scratch)}
        if a.other:
            models[a.other.name] = a.other
        tasks = [Debian(scratch)] + ([Sst2(a.sst2)] if a.sst2.is_dir() and not a.skip_sst2 else [])
        print("| task | model | how | accuracy, seeds " + " ".join(map(str, a.seeds)) + " | mean |\n|---|---|---|---|---|")
        for task in tasks:
            print(f"| {task.name} | bag of words | logistic regression | {100 * task.words():.1f} | |", flush=True)
            for name, model in models.items():
                for kind in task.kinds:
                    values = [100 * accuracy(task, kind, model, seed, a.threads, scratch) for seed in a.seeds]
                    print(f"| {task.name} | {name} | {kind} | {' '.join(f'{v:.1f}' for v in values)} | {statistics.mean(values):.1f} |", flush=True)


if __name__ == "__main__":
    main()
