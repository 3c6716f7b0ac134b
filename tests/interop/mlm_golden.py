#!/usr/bin/env python3
"""Makes tests/model/golden/FAMILY/mlm.safetensors: masked language modelling of the golden batch by transformers.

Tags (the token that was there, or -1), the values of head tensors that the model directory lacks, logits of the tagged
tokens, the mean loss over them, and the gradient of every parameter. All computed in double precision. Run it after
model_golden.py, whose directories it reads.
"""
import argparse
import os
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

FAMILIES = ["bert", "roberta", "distilbert"]
SHARE, IGNORED = 0.2, -100


def open_model(folder: Path):
    model, info = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager", output_loading_info=True)
    missing = {n: p for n, p in model.named_parameters() if n in info["missing_keys"]}
    for name, p in missing.items():
        centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        torch.nn.init.normal_(p, centre, 0.3 if p.dim() > 1 else 0.1)
        p.data = p.data.float().double()  # what the file can hold
    return model.eval(), missing


def make(family: str) -> dict[str, torch.Tensor]:
    model, head = open_model(Path(family))
    batch = load_file(f"{family}/golden.safetensors")
    off = batch["off"].long().tolist()
    ids, types = batch["id"].long(), batch["type"].long()
    tag = torch.where(torch.rand(len(ids)) < SHARE, torch.randint(0, model.config.vocab_size, ids.shape), -1)
    tag[off[:-1]] = 7  # every sequence has one

    def padded(x, fill):
        return torch.nn.utils.rnn.pad_sequence([x[a:b] for a, b in zip(off, off[1:])], True, fill)

    inputs = {"input_ids": padded(ids, model.config.pad_token_id), "attention_mask": padded(torch.ones_like(ids), 0)}
    if family != "distilbert":
        inputs["token_type_ids"] = padded(types, 0)
    labels = padded(tag.where(tag >= 0, IGNORED), IGNORED)
    result = model(**inputs, labels=labels)
    result.loss.backward()
    golden = {"tag": tag, "logits": result.logits[labels != IGNORED], "loss": result.loss.reshape(1)}
    golden |= {f"head.{n}": p for n, p in head.items()}
    golden |= {f"grad.{n}": p.grad for n, p in model.named_parameters()}
    return golden


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parents[1] / "model/golden")
    os.chdir(parser.parse_args().out)
    for seed, family in enumerate(FAMILIES):
        torch.manual_seed(100 + seed)
        golden = {k: v.detach().float().contiguous() for k, v in make(family).items()}
        save_file(golden, f"{family}/mlm.safetensors")
        print(family, sorted(golden)[:3], len(golden), "tensors")


if __name__ == "__main__":
    main()
