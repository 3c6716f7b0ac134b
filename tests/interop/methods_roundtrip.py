#!/usr/bin/env python3
"""Every method that peft has: adapters that peft saved predict the same with us; written by us again, they predict the
same with peft. Merged directories predict the same with transformers alone."""
import json
import pathlib
import sys
import tempfile

import peft
import torch

import model_common as common

NORMS = {"distilbert": ["LayerNorm", "sa_layer_norm", "output_layer_norm"]}
QUERY = {"distilbert": ["distilbert.transformer.layer.0.attention.q_lin"],
         "roberta": ["roberta.encoder.layer.0.attention.self.query"]}
N_LABELS = 3


def configs(name: str) -> dict[str, peft.PeftConfig]:
    norms = NORMS.get(name, ["LayerNorm"])
    head = ["classifier"] + (["pooler"] if name == "bert" else [])
    lora = {"r": 4, "lora_alpha": 6, "target_modules": ["q_lin" if name == "distilbert" else "query"]}
    bitfit = {"r": 1, "bias": "all", "target_modules": QUERY.get(name, ["bert.encoder.layer.0.attention.self.query"])}
    # Of transformers' DistilBERT peft cannot tell them.
    shape = {"token_dim": common.SIZE, "num_layers": 3, "num_attention_heads": 4} if name == "distilbert" else {}
    common_fields = {"task_type": "SEQ_CLS", "modules_to_save": head}
    with_norms = {"task_type": "SEQ_CLS", "modules_to_save": head + norms}
    out = {
        "lora + norms": peft.LoraConfig(**lora, **with_norms),
        "bitfit": peft.LoraConfig(**bitfit, **common_fields),
        "bitfit + norms": peft.LoraConfig(**bitfit, **with_norms),
        "layernorm": peft.LNTuningConfig(target_modules=norms, **common_fields),
        "prompt": peft.PromptTuningConfig(num_virtual_tokens=7, **shape, **common_fields),
        "prompt + norms": peft.PromptTuningConfig(num_virtual_tokens=3, **shape, **with_norms),
    }
    if name != "distilbert":  # transformers gives its DistilBERT no past key values
        out["prefix"] = peft.PrefixTuningConfig(num_virtual_tokens=7, **common_fields)
        out["prefix + norms"] = peft.PrefixTuningConfig(num_virtual_tokens=3, **with_norms)
    return out


def saved_by_peft(model_dir: pathlib.Path, config: peft.PeftConfig, out: pathlib.Path):
    model = peft.get_peft_model(common.open_base(model_dir, N_LABELS), config)
    lora_is_zero = getattr(config, "bias", "none") == "all"
    common.shake(p for n, p in model.named_parameters() if p.requires_grad and not (lora_is_zero and ".lora_" in n))
    model.save_pretrained(out)
    return model


def merged(model_dir: pathlib.Path, adapter: pathlib.Path, out: pathlib.Path, texts) -> torch.Tensor:
    common.client("merge", "--model", model_dir, "--adapter", adapter, "--out", out)
    model, info = common.transformers.AutoModelForSequenceClassification.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    return common.torch_logits(model, out, texts)


def check_peft(name: str, model_dir: pathlib.Path, scratch: pathlib.Path, texts) -> bool:
    agreed = True
    for i, (what, config) in enumerate(configs(name).items()):
        theirs, ours = scratch / f"{name}-{i}-theirs", scratch / f"{name}-{i}-ours"
        model = saved_by_peft(model_dir, config, theirs)
        want = common.torch_logits(model, model_dir, texts)
        agreed &= common.compare(f"{name}, {what}, saved by peft", common.fedpet_logits(model_dir, theirs, texts), want)
        native = common.convert(model_dir, theirs, scratch / f"{name}-{i}-native", "fedpet")
        common.convert(model_dir, native, ours, "peft")
        model = common.load_adapter(common.open_base(model_dir, N_LABELS), ours)
        agreed &= common.compare(f"{name}, {what}, written by us", want, common.torch_logits(model, model_dir, texts))
        if not what.startswith(("prompt", "prefix")):
            got = merged(model_dir, ours, scratch / f"{name}-{i}-merged", texts)
            agreed &= common.compare(f"{name}, {what}, merged", want, got)
    return agreed


def check_trained(name: str, model_dir: pathlib.Path, scratch: pathlib.Path, texts) -> bool:
    """What only our trainer makes: a prefix with its network, and whole models."""
    agreed = True
    if name != "distilbert":
        method = "method: prefix, length: 5, hidden: 24"
        network = common.train(model_dir, method, scratch / f"{name}-network", "--as", "fedpet")
        rows = common.convert(model_dir, network, scratch / f"{name}-rows", "peft")
        model = common.load_adapter(common.open_base(model_dir, 2), rows)
        agreed &= common.compare(f"{name}, reparametrised prefix", common.fedpet_logits(model_dir, network, texts),
                                 common.torch_logits(model, model_dir, texts))
    for method in ("full", "head"):
        adapter = common.train(model_dir, f"method: {method}", scratch / f"{name}-{method}", "--set", "local.lr=0.001")
        want = common.fedpet_logits(model_dir, adapter, texts)
        got = merged(model_dir, adapter, scratch / f"{name}-{method}-merged", texts)
        agreed &= common.compare(f"{name}, {method}, merged", want, got)
        config = json.loads((scratch / f"{name}-{method}-merged" / "config.json").read_text())
        agreed &= config["id2label"] == {"0": "not_equivalent", "1": "equivalent"}
    return agreed


def main() -> int:
    common.need(common.CLIENT, common.MINILM, common.MRPC)
    texts, agreed = common.pairs(32), True
    with tempfile.TemporaryDirectory() as scratch:
        for name, model_dir in common.encoders(pathlib.Path(scratch)).items():
            agreed &= check_peft(name, model_dir, pathlib.Path(scratch), texts)
            if model_dir != common.MINILM:
                agreed &= check_trained(name, model_dir, pathlib.Path(scratch), texts)
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
