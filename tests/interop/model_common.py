"""What *_parity.py and *_roundtrip.py of models share: the models, 64 real sentence pairs, and both sides' logits."""
import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("FEDPET_SHARED", ROOT.parent / "shared"))
MINILM = pathlib.Path(os.environ.get("FEDPET_MODEL", ROOT / ".cache/all-MiniLM-L6-v2"))
MRPC = SHARED / "data/glue/MRPC"
CLIENT = pathlib.Path(os.environ.get("FEDPET_BIN", ROOT / "build/release")) / "fedpet-client"

ABSENT = 77  # exit status of a script that lacks what it needs
TOLERANCE = 2e-5
SIZE = 128  # width of the random encoders


def need(*paths: pathlib.Path) -> None:
    for path in paths:
        if not path.exists():
            print(f"skipped: no {path}")
            sys.exit(ABSENT)


def pairs(n: int = 64) -> list[tuple[str, str]]:
    with open(MRPC / "dev.tsv", encoding="utf-8-sig", newline="") as f:
        rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [(r[3], r[4]) for r in rows[:n]]


def random_encoder(family: str, out: pathlib.Path, pooler: bool = False) -> pathlib.Path:
    """A directory with a small random encoder, larger than life in its weights, and the family's real tokenizer."""
    configs = {
        "bert": transformers.BertConfig(
            hidden_size=SIZE, num_hidden_layers=3, num_attention_heads=4, intermediate_size=4 * SIZE, initializer_range=0.05),
        "roberta": transformers.RobertaConfig(
            vocab_size=50265, hidden_size=SIZE, num_hidden_layers=4, num_attention_heads=4, intermediate_size=4 * SIZE,
            max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, initializer_range=0.05),
        "distilbert": transformers.DistilBertConfig(
            vocab_size=30522, dim=SIZE, n_layers=3, n_heads=4, hidden_dim=4 * SIZE, initializer_range=0.05),
    }
    tokenizer = "roberta-base" if family == "roberta" else "bert-base-uncased"
    torch.manual_seed(len(family))
    encoder = transformers.AutoModel.from_config(configs[family])
    if family != "bert" or not pooler:
        encoder.pooler = None  # then BERT's is part of the head; the others' heads do without
    encoder.save_pretrained(out)
    for file in (SHARED / "tokenizers" / tokenizer).iterdir():
        shutil.copy(file, out)
    return out


def encoders(scratch: pathlib.Path, pooler: bool = False) -> dict[str, pathlib.Path]:
    return {"all-MiniLM-L6-v2": MINILM} | {f: random_encoder(f, scratch / f, pooler) for f in ("bert", "roberta", "distilbert")}


def open_base(model_dir: pathlib.Path, n_labels: int, **options):
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        model_dir, num_labels=n_labels, dtype=torch.float32, **options)


def torch_logits(model, model_dir: pathlib.Path, texts: list[tuple[str, str]]) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
    types = getattr(model.config, "type_vocab_size", 0) > 1  # the tokenizer files were made for a model without
    model.eval()
    out = []
    with torch.no_grad():
        for i in range(0, len(texts), 16):
            first, second = zip(*texts[i:i + 16])
            batch = tokenizer(list(first), list(second), padding=True, return_tensors="pt",
                              return_token_type_ids=types)
            out.append(model(**batch).logits)
    return torch.cat(out)


def fedpet_logits(model_dir: pathlib.Path, adapter: pathlib.Path, texts: list[tuple[str, str]]) -> torch.Tensor:
    lines = "".join(f"{a}\t{b}\n" for a, b in texts)
    done = subprocess.run([CLIENT, "predict", "--model", model_dir, "--adapter", adapter, "--format", "json"],
                          input=lines, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    return torch.tensor([json.loads(line)["logits"] for line in done.stdout.splitlines()])


def compare(what: str, ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Prints one line; true when every logit agrees."""
    worst = (ours - theirs).abs().max().item() if ours.shape == theirs.shape else float("inf")
    spread = theirs.std().item()
    print(f"{what}: {ours.shape[0]} rows of logits of spread {spread:.2f} differ by at most {worst:.1e}", flush=True)
    return worst <= TOLERANCE


def load_adapter(base, adapter: pathlib.Path):
    import peft  # not in the environment of AdapterHub's library

    return peft.PeftModel.from_pretrained(base, adapter)


def client(command: str, *options) -> None:
    subprocess.run([CLIENT, command, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def convert(model_dir: pathlib.Path, adapter: pathlib.Path, out: pathlib.Path, format: str) -> pathlib.Path:
    """A copy of an adapter in another file format."""
    client("export", "--model", model_dir, "--adapter", adapter, "--out", out, "--as", format)
    return out


def train(model_dir: pathlib.Path, method: str, out: pathlib.Path, *options) -> pathlib.Path:
    """A few large steps of ours: the values are to be far from the start, not good. method: YAML."""
    config = out.with_suffix(".yaml")
    config.write_text(
        f"model: {model_dir}\n"
        f"task: {{name: mrpc, data: {MRPC}}}\n"
        f"peft: {{{method}}}\n"
        "local: {steps: 8, batch_size: 8, lr: 0.01, max_length: 128}\n")
    client("train", "--config", config, "--out", out, *options)
    return out / "adapter"


def shake(parameters) -> None:
    """Random values everywhere, so that nothing hides in zeros."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in parameters:
            p.add_(0.1 * torch.randn_like(p))
