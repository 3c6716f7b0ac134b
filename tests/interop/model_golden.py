#!/usr/bin/env python3
"""Makes tests/model/golden/: tiny random encoders with the answers of torch, transformers and peft.

Per family: an unmodified Hugging Face directory (bare F32 encoder with pooler; BF16 masked-LM checkpoint; F16 checkpoint
with a regression head), an adapter directory saved by peft, and golden.safetensors with a batch of mixed lengths, first-token
states, logits, loss, every trainable gradient and the losses of 50 AdamW steps; sites.safetensors, with what full fine-tuning,
token classification, prompt and prefix tuning make of the same batch. All computed in double precision.
"""
import argparse
import os
import shutil
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import save_file

STEPS, LR, WARMUP, DECAY, CLIP = 50, 2e-3, 5, 0.01, 1.0
LENGTHS = [5, 17, 2, 9, 30, 3, 12, 7]
VOCAB, WIDTH, FFN, HEADS, POSITIONS = 100, 32, 64, 4, 40
VIRTUAL, TAGS = 3, 5

FAMILIES = {
    "bert": {
        "config": transformers.BertConfig(
            vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=HEADS, intermediate_size=FFN,
            max_position_embeddings=POSITIONS, classifier_dropout=0.3),
        "checkpoint": transformers.AutoModel, "dtype": torch.float32, "labels": 2,
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": ["query", "value"]},
    },
    "roberta": {
        "config": transformers.RobertaConfig(
            vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=HEADS, intermediate_size=FFN,
            max_position_embeddings=POSITIONS, type_vocab_size=1, layer_norm_eps=1e-5),
        "checkpoint": transformers.AutoModelForMaskedLM, "dtype": torch.bfloat16, "labels": 3,
        "lora": {"r": 3, "lora_alpha": 6, "use_rslora": True,
                 "target_modules": ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]},
    },
    "distilbert": {
        "config": transformers.DistilBertConfig(
            vocab_size=VOCAB, dim=WIDTH, n_layers=2, n_heads=HEADS, hidden_dim=FFN, max_position_embeddings=POSITIONS),
        "checkpoint": transformers.AutoModelForSequenceClassification, "dtype": torch.float16, "labels": 1,
        "lora": {"r": 2, "lora_alpha": 5, "target_modules": r".*\.layer\.\d+\.(attention\.q_lin|attention\.out_lin|ffn\.lin2)"},
    },
}


def randomize(module: torch.nn.Module) -> None:
    """Far from the usual small initial values, so that a wrong term shows."""
    for name, p in module.named_parameters():
        spread = 0.3 if p.dim() > 1 else 0.1
        with torch.no_grad():
            p.normal_(1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, spread)


def make_batch(family: str, config) -> dict[str, torch.Tensor]:
    lengths = LENGTHS + ([POSITIONS - 2] if family == "roberta" else [POSITIONS])
    ids = [torch.randint(4, VOCAB, (n,)) for n in lengths]
    types = [(torch.arange(n) >= n // 2).long() if family == "bert" else torch.zeros(n, dtype=torch.long) for n in lengths]
    n_labels = config.num_labels
    label = torch.randn(len(ids)).float() if n_labels == 1 else torch.randint(0, n_labels, (len(ids),))
    return {"ids": ids, "types": types, "label": label}


def padded(batch, config, rows) -> dict[str, torch.Tensor]:
    pad = torch.nn.utils.rnn.pad_sequence
    ids = [batch["ids"][i] for i in rows]
    out = {"input_ids": pad(ids, True, config.pad_token_id),
           "attention_mask": pad([torch.ones_like(x) for x in ids], True, 0)}
    if config.model_type != "distilbert":
        out["token_type_ids"] = pad([batch["types"][i] for i in rows], True, 0)
    label = batch["label"][list(rows)]
    return out | {"labels": label.double() if config.num_labels == 1 else label}


def plain(name: str) -> str:
    return name.removeprefix("base_model.model.").replace(".modules_to_save.default", "").replace(".default", "")


def train(model, batch, config) -> list[float]:
    """Even steps on the first half of the batch, odd ones on the rest."""
    params = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in params if p.dim() > 1], "weight_decay": DECAY},
              {"params": [p for p in params if p.dim() == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    n, losses = len(batch["ids"]), []
    for step in range(STEPS):
        rows = range(n // 2) if step % 2 == 0 else range(n // 2, n)
        loss = model(**padded(batch, config, rows)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, CLIP)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def make(family: str, out: Path) -> None:
    spec = FAMILIES[family]
    config = spec["config"]
    config.num_labels = spec["labels"]
    config._attn_implementation = "eager"
    shutil.rmtree(out, ignore_errors=True)

    checkpoint = spec["checkpoint"].from_config(config)
    randomize(checkpoint)
    checkpoint.to(spec["dtype"]).save_pretrained(out)

    base = transformers.AutoModelForSequenceClassification.from_pretrained(
        out, num_labels=spec["labels"], dtype=torch.float32, attn_implementation="eager")
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="SEQ_CLS", lora_dropout=0.0, **spec["lora"]))
    for p in model.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, 0.0, 0.2)
    model.save_pretrained(out / "adapter")
    (out / "adapter" / "README.md").unlink(missing_ok=True)
    model.double().eval()

    batch = make_batch(family, config)
    everything = padded(batch, config, range(len(batch["ids"])))
    with torch.no_grad(), model.disable_adapter():
        inputs = {k: v for k, v in everything.items() if k != "labels"}
        first = model.get_base_model().base_model(**inputs).last_hidden_state[:, 0]
    result = model(**everything)
    result.loss.backward()

    lengths = torch.tensor([0] + [len(x) for x in batch["ids"]])
    golden = {"off": lengths.cumsum(0), "id": torch.cat(batch["ids"]), "type": torch.cat(batch["types"]),
              "label": batch["label"], "first": first, "logits": result.logits, "loss": result.loss.reshape(1)}
    golden |= {f"grad.{plain(n)}": p.grad for n, p in model.named_parameters() if p.requires_grad}
    golden["losses"] = torch.tensor(train(model, batch, config), dtype=torch.float64)
    save(golden, out / "golden.safetensors")
    save(sites(out, config, batch), out / "sites.safetensors")


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file({k: v.detach().float().contiguous() for k, v in tensors.items()}, path)


def load(out: Path, head: dict[str, torch.Tensor], tokens: bool, n_labels: int):
    """The checkpoint under a given head, in double precision."""
    auto = transformers.AutoModelForTokenClassification if tokens else transformers.AutoModelForSequenceClassification
    model = auto.from_pretrained(out, num_labels=n_labels, dtype=torch.float64, attn_implementation="eager",
                                 ignore_mismatched_sizes=True)
    missing = model.load_state_dict(head, strict=False)
    assert not missing.unexpected_keys
    return model.eval()


def random_head(out: Path, tokens: bool, n_labels: int) -> dict[str, torch.Tensor]:
    auto = transformers.AutoModelForTokenClassification if tokens else transformers.AutoModelForSequenceClassification
    model = auto.from_pretrained(out, num_labels=n_labels, ignore_mismatched_sizes=True)
    return {n: torch.randn(p.shape, dtype=torch.float64) * 0.2 for n, p in model.named_parameters() if "classifier" in n}


def packed(x: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    return torch.cat([x[i, :n] for i, n in enumerate(lengths)])


def virtual(out: Path, config, head, tags_head, prompt: bool, inputs, lengths, shifted: bool = True):
    """Logits, loss and the gradient of the rows that peft puts before the embeddings, or before keys and values."""
    kind = peft.PromptTuningConfig if prompt else peft.PrefixTuningConfig
    name = "prompt" if prompt else "prefix" if shifted else "unshifted"
    got, rows = {}, None
    for tokens in False, True:
        base = load(out, tags_head if tokens else head, tokens, TAGS if tokens else config.num_labels)
        if not shifted:
            base.base_model.embeddings.position_embeddings.register_forward_pre_hook(lambda _, x: ((x[0] - VIRTUAL).clamp(0),))
        model = peft.get_peft_model(base, kind(task_type="TOKEN_CLS" if tokens else "SEQ_CLS", num_virtual_tokens=VIRTUAL,
                                               num_layers=config.num_hidden_layers, token_dim=WIDTH, num_attention_heads=HEADS))
        model.double().eval()
        weight = model.prompt_encoder["default"].embedding.weight
        if rows is None:
            rows = torch.randn_like(weight) * 0.5
        with torch.no_grad():
            weight.copy_(rows)
        result = model(**{k: v for k, v in inputs.items() if k != "labels" or not tokens})
        if tokens:
            got["tokens"] = packed(result.logits[:, VIRTUAL if prompt else 0:], lengths)
        else:
            result.loss.backward()
            got |= {"rows": rows, "logits": result.logits, "loss": result.loss.reshape(1), "grad": weight.grad}
    return {f"{name}.{k}": v for k, v in got.items()}


def sites(out: Path, config, batch) -> dict[str, torch.Tensor]:
    n = len(batch["ids"])
    lengths = [len(x) for x in batch["ids"]]
    head, tags_head = random_head(out, False, config.num_labels), random_head(out, True, TAGS)
    golden = {f"head.{k}": v for k, v in head.items()} | {f"tags.head.{k}": v for k, v in tags_head.items()}

    everything = padded(batch, config, range(n))
    model = load(out, head, False, config.num_labels)
    result = model(**everything)
    result.loss.backward()
    golden |= {"full.logits": result.logits, "full.loss": result.loss.reshape(1)}
    golden |= {f"full.{k}": p.grad for k, p in model.named_parameters()}

    tag = torch.randint(-1, TAGS, (sum(lengths),))
    everything["labels"] = torch.nn.utils.rnn.pad_sequence(
        torch.where(tag < 0, -100, tag).split(lengths), True, -100)
    model = load(out, tags_head, True, TAGS)
    result = model(**everything, output_hidden_states=True)
    golden |= {"tag": tag, "tags.loss": result.loss.reshape(1), "tags.logits": packed(result.logits, lengths),
               "tags.hidden": packed(result.hidden_states[-1], lengths)}

    # The last sequence leaves no positions for virtual tokens.
    inputs = padded(batch, config, range(n - 1))
    golden |= virtual(out, config, head, tags_head, True, inputs, lengths[:-1])
    if config.model_type != "distilbert":  # peft refuses: it takes no past key values
        for shifted in True, False:
            golden |= virtual(out, config, head, tags_head, False, inputs, lengths[:-1], shifted)
    return golden


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=here.parent / "model" / "golden")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    os.chdir(args.out)  # peft writes the base model's path as given into adapter_config.json
    for seed, family in enumerate(FAMILIES):
        torch.manual_seed(seed)
        make(family, Path(family))
        print(family, sum(f.stat().st_size for f in Path(family).rglob("*") if f.is_file()), "bytes")


if __name__ == "__main__":
    main()
