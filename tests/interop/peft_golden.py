#!/usr/bin/env python3
"""Makes tests/peft/golden/: what torch computes for bottleneck adapters on the encoders of tests/model/golden/.

The four placements stand here as formulae on the modules of transformers, each with the activation that is its own:
neither OpenDelta nor AdapterHub installs beside a current transformers. Per family and placement: every trainable value
under its name in the schema, the logits and loss on the golden batch, and all gradients. Computed in double precision.
"""
import argparse
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

BOTTLENECK, SCALING = 4, 2.5
LABELS = {"bert": 2, "roberta": 3, "distilbert": 1}
BOTH, FFN = ("attention", "ffn"), ("ffn",)
PLACEMENTS = {
    "opendelta": (BOTH, lambda x: F.gelu(x, approximate="tanh")),
    "houlsby": (BOTH, lambda x: F.gelu(x, approximate="tanh")),
    "pfeiffer": (FFN, F.relu),
    "parallel": (FFN, F.relu),
}


class Adapter:
    def __init__(self, module: str, width: int, act):
        self.act = act
        shapes = {"adapter_down.0.weight": (BOTTLENECK, width), "adapter_down.0.bias": (BOTTLENECK,),
                  "adapter_up.weight": (width, BOTTLENECK), "adapter_up.bias": (width,)}
        self.param = {f"{module}.adapters.{part}": (torch.randn(shape, dtype=torch.float64) * 0.4).float().double()
                      .requires_grad_() for part, shape in shapes.items()}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        down, down_bias, up, up_bias = self.param.values()
        return F.linear(self.act(F.linear(x, down, down_bias)), up, up_bias)


def place(placement: str, adapter: Adapter, dense: torch.nn.Module, norm: torch.nn.LayerNorm) -> None:
    """dense gives the sub-layer's output h, norm is applied to x + h; no dropout."""
    seen = {}

    def after_norm(_, args, y):
        total, h = args[0], seen["h"]
        again = lambda s: F.layer_norm(s, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        return {
            "opendelta": lambda: y + adapter(y),
            "houlsby": lambda: again(total + adapter(h)),
            "pfeiffer": lambda: again(total + adapter(y)),
            "parallel": lambda: again(total + SCALING * adapter(total - h)),
        }[placement]()

    dense.register_forward_hook(lambda _, __, h: seen.update(h=h))
    norm.register_forward_hook(after_norm)


def sublayers(model) -> dict:
    """Name of the module that holds an adapter, as AdapterHub has it -> (block, last linear, norm)."""
    base, prefix = model.base_model, model.base_model_prefix
    if prefix == "distilbert":
        layers = {f"{prefix}.transformer.layer.{i}": m for i, m in enumerate(base.transformer.layer)}
        return {f"{n}.attention_adapters": ("attention", m.attention.out_lin, m.sa_layer_norm) for n, m in layers.items()} \
            | {f"{n}.output_adapters": ("ffn", m.ffn.lin2, m.output_layer_norm) for n, m in layers.items()}
    layers = {f"{prefix}.encoder.layer.{i}": m for i, m in enumerate(base.encoder.layer)}
    return {f"{n}.attention.output": ("attention", m.attention.output.dense, m.attention.output.LayerNorm)
            for n, m in layers.items()} \
        | {f"{n}.output": ("ffn", m.output.dense, m.output.LayerNorm) for n, m in layers.items()}


def inputs(golden: dict[str, torch.Tensor], config) -> dict[str, torch.Tensor]:
    off = golden["off"].long().tolist()
    rows = [slice(a, b) for a, b in zip(off, off[1:])]
    pad = lambda x, value: torch.nn.utils.rnn.pad_sequence([x[r] for r in rows], True, value)
    out = {"input_ids": pad(golden["id"].long(), config.pad_token_id),
           "attention_mask": pad(torch.ones_like(golden["id"]).long(), 0)}
    if config.model_type != "distilbert":
        out["token_type_ids"] = pad(golden["type"].long(), 0)
    label = golden["label"]
    return out | {"labels": label.double() if config.num_labels == 1 else label.long()}


def answers(encoder: Path, placement: str, golden: dict[str, torch.Tensor], n_labels: int) -> dict[str, torch.Tensor]:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        encoder, num_labels=n_labels, dtype=torch.float64, attn_implementation="eager").eval()
    trained = {n: p for n, p in model.named_parameters() if "classifier" in n}
    trained |= {n: p for n, p in model.named_parameters() if "norm" in n.lower()}  # peft.norms
    with torch.no_grad():
        for n, p in trained.items():
            p.copy_(torch.randn(p.shape).double() * 0.2 + (1.0 if "norm" in n.lower() and n.endswith("weight") else 0.0))
            p.copy_(p.float().double())
    blocks, act = PLACEMENTS[placement]
    for module, (block, dense, norm) in sublayers(model).items():
        if block in blocks:
            adapter = Adapter(module, model.config.hidden_size, act)
            place(placement, adapter, dense, norm)
            trained |= adapter.param
    result = model(**inputs(golden, model.config))
    result.loss.backward()
    out = {"logits": result.logits, "loss": result.loss.reshape(1)}
    out |= {f"value.{n}": p for n, p in trained.items()} | {f"grad.{n}": p.grad for n, p in trained.items()}
    return {f"{placement}.{k}": v.detach().float().contiguous() for k, v in out.items()}


def main() -> None:
    tests = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=tests / "peft" / "golden")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for seed, (family, n_labels) in enumerate(LABELS.items()):
        torch.manual_seed(seed)
        encoder = tests / "model" / "golden" / family
        golden = load_file(encoder / "golden.safetensors")
        out = {}
        for placement in PLACEMENTS:
            out |= answers(encoder, placement, golden, n_labels)
        path = args.out / f"{family}.safetensors"
        save_file(out, path)
        print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
