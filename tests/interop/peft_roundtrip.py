#!/usr/bin/env python3
"""Adapters that `fedpet-client train` exports load in peft, on exactly the modules we tuned, with the same logits."""
import json
import pathlib
import sys
import tempfile

from safetensors import safe_open

import model_common as common

# "output" alone is the hard case: as a suffix it would select attention.output.dense too.
TARGETS = {
    "all-MiniLM-L6-v2": [["query", "value"], ["output"], ["query", "output", "intermediate"]],
    "bert": [["value"]],
    "roberta": [["query", "key", "value", "attention_output", "intermediate", "output"]],
    "distilbert": [["query", "output"]],
}


def same_tensors(model, adapter: pathlib.Path) -> bool:
    """peft tunes neither more nor fewer modules than the file holds."""
    with safe_open(adapter / "adapter_model.safetensors", "pt") as f:
        ours = {key for key in f.keys() if ".lora_" in key}
    theirs = {n.replace(".default", "") for n, _ in model.named_parameters() if ".lora_" in n}
    if ours != theirs:
        print("tensors differ:", sorted(ours ^ theirs)[:4])
    return ours == theirs


def main() -> int:
    common.need(common.CLIENT, common.MINILM, common.MRPC)
    texts, agreed = common.pairs(), True
    with tempfile.TemporaryDirectory() as scratch:
        for name, model_dir in common.encoders(pathlib.Path(scratch)).items():
            for i, targets in enumerate(TARGETS[name]):
                method = f"method: lora, r: 4, alpha: 8, targets: [{', '.join(targets)}]"
                adapter = common.train(model_dir, method, pathlib.Path(scratch) / f"{name}-{i}")
                model = common.load_adapter(common.open_base(model_dir, 2), adapter)
                written = json.loads((adapter / "adapter_config.json").read_text())["target_modules"]
                agreed &= same_tensors(model, adapter)
                agreed &= common.compare(f"{name}, target_modules {written}",
                                         common.fedpet_logits(model_dir, adapter, texts),
                                         common.torch_logits(model, model_dir, texts))
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
