#!/usr/bin/env python3
"""Logits of 64 real sentence pairs: `fedpet-client predict` against transformers + peft, adapters saved by peft.

The real all-MiniLM-L6-v2 (BERT), and encoders of a small random configuration: BERT without a pooler, RoBERTa and
DistilBERT. Each has the family's real tokenizer and an adapter with random values.
"""
import pathlib
import sys
import tempfile

import peft
import torch

import model_common as common

LORA = {
    "all-MiniLM-L6-v2": {"r": 8, "lora_alpha": 8, "target_modules": ["query", "value"]},
    "bert": {"r": 2, "lora_alpha": 3, "target_modules": ["key"], "modules_to_save": ["classifier", "pooler"]},
    "roberta": {"r": 4, "lora_alpha": 8, "use_rslora": True, "target_modules": "all-linear"},
    "distilbert": {"r": 8, "lora_alpha": 16, "target_modules": ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"]},
}
LABELS = {"all-MiniLM-L6-v2": 2, "bert": 4, "roberta": 3, "distilbert": 1}


def adapted(name: str, model_dir: pathlib.Path):
    config = peft.LoraConfig(task_type="SEQ_CLS", lora_dropout=0.1, **LORA[name])
    model = peft.get_peft_model(common.open_base(model_dir, LABELS[name]), config)
    torch.manual_seed(1)
    for p in model.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, 0.0, 0.1)
    return model


def main() -> int:
    common.need(common.CLIENT, common.MINILM, common.MRPC)
    texts, agreed = common.pairs(), True
    with tempfile.TemporaryDirectory() as scratch:
        for name, model_dir in common.encoders(pathlib.Path(scratch)).items():
            model, adapter = adapted(name, model_dir), pathlib.Path(scratch) / f"{name}-adapter"
            model.save_pretrained(adapter)
            agreed &= common.compare(f"{name}, adapter saved by peft", common.fedpet_logits(model_dir, adapter, texts),
                                     common.torch_logits(model, model_dir, texts))
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
