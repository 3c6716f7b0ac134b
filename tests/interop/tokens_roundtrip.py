#!/usr/bin/env python3
"""Token classifiers: logits of every token, of adapters that peft saved, by `fedpet-client eval` and by peft; written by us
again, they compute the same in peft; merged, in transformers alone."""
import json
import pathlib
import subprocess
import sys
import tempfile

import peft
import torch
import transformers

import model_common as common

TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
CONFIGS = {
    "lora": lambda query: peft.LoraConfig(task_type="TOKEN_CLS", r=4, target_modules=[query]),
    "layernorm": lambda query: peft.LNTuningConfig(task_type="TOKEN_CLS", target_modules=["LayerNorm"]),
    "prompt": lambda query: peft.PromptTuningConfig(task_type="TOKEN_CLS", num_virtual_tokens=5),
    "prefix": lambda query: peft.PrefixTuningConfig(task_type="TOKEN_CLS", num_virtual_tokens=5),
}


def open_base(model_dir: pathlib.Path):
    return transformers.AutoModelForTokenClassification.from_pretrained(
        model_dir, num_labels=len(TAGS), dtype=torch.float32)


def sentences() -> list[list[str]]:
    return [a.split() for a, _ in common.pairs(24)]


def data_file(out: pathlib.Path) -> pathlib.Path:
    rows = [{"tokens": words, "tags": [TAGS[k % len(TAGS)] for k in range(len(words))]} for words in sentences()]
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def torch_logits(model, model_dir: pathlib.Path, virtual: int) -> torch.Tensor:
    options = {"add_prefix_space": True} if model.config.model_type == "roberta" else {}
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir, **options)
    model.eval()
    out = []
    with torch.no_grad():
        for words in sentences():  # one by one: no padding
            batch = tokenizer(words, is_split_into_words=True, return_tensors="pt",
                              return_token_type_ids=model.config.model_type == "bert")
            out.append(model(**batch).logits[0, virtual:])
    return torch.cat(out)


def fedpet_logits(model_dir: pathlib.Path, adapter: pathlib.Path, data: pathlib.Path) -> torch.Tensor:
    logits = adapter.with_suffix(".logits")
    subprocess.run([common.CLIENT, "eval", "--model", model_dir, "--adapter", adapter, "--data", data, "--task", "conll",
                    "--set", f"task.labels=[{', '.join(TAGS)}]", "--logits", logits],
                   check=True, stdout=subprocess.DEVNULL)
    return torch.tensor([json.loads(line)["logits"] for line in logits.read_text().splitlines()])


def check(what: str, model_dir: pathlib.Path, config, data: pathlib.Path, scratch: pathlib.Path) -> bool:
    virtual = config.num_virtual_tokens if config.peft_type == "PROMPT_TUNING" else 0
    model = peft.get_peft_model(open_base(model_dir), config)
    common.shake(p for p in model.parameters() if p.requires_grad)
    theirs = scratch / f"{what.replace(', ', '-')}"
    model.save_pretrained(theirs)
    want = torch_logits(model, model_dir, virtual)
    agreed = common.compare(f"{what}, saved by peft", fedpet_logits(model_dir, theirs, data), want)
    ours = common.convert(model_dir, theirs, theirs.with_suffix(".ours"), "peft")
    got = torch_logits(common.load_adapter(open_base(model_dir), ours), model_dir, virtual)
    agreed &= common.compare(f"{what}, written by us", want, got)
    if not config.is_prompt_learning:
        merged = theirs.with_suffix(".merged")
        common.client("merge", "--model", model_dir, "--adapter", ours, "--out", merged)
        agreed &= common.compare(f"{what}, merged", want, torch_logits(open_base(merged), merged, 0))
    return agreed


def main() -> int:
    common.need(common.CLIENT, common.MINILM, common.MRPC)
    agreed = True
    with tempfile.TemporaryDirectory() as scratch:
        data = data_file(pathlib.Path(scratch) / "data.jsonl")
        for name, model_dir in common.encoders(pathlib.Path(scratch)).items():
            for what, config in CONFIGS.items():
                if name == "distilbert" and what != "lora":  # peft needs more fields; methods_roundtrip.py has them
                    continue
                query = "q_lin" if name == "distilbert" else "query"
                agreed &= check(f"{name}, {what}", model_dir, config(query), data, pathlib.Path(scratch))
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
