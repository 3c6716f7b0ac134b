#!/usr/bin/env python3
"""Models in int8: what `fedpet-client quantize` writes computes the same here and in transformers with compressed-tensors.

all-MiniLM-L6-v2 and random encoders of each family: first-token logits under an adapter that peft trained on the int8 model,
loaded with dequantize=True as one must to train; and hidden states of the model that is left compressed until its first
forward pass, against the same weights multiplied out. The other way: weights that compressed-tensors packed are read here.
"""
import pathlib
import shutil
import sys
import tempfile

import peft
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import model_common as common

try:
    import compressed_tensors
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
except ImportError:
    print("skipped: no compressed-tensors in this environment")
    sys.exit(common.ABSENT)

TARGETS = {"distilbert": ["q_lin", "v_lin", "lin2"]}
OTHERS = ["query", "value", "output.dense"]
DENSE = transformers.CompressedTensorsConfig


def quantize(model_dir: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    common.client("quantize", "--model", model_dir, "--out", out)
    before, after = ((d / "model.safetensors").stat().st_size for d in (model_dir, out))
    print(f"{out.name}: {after / 1e6:.1f} MB of {before / 1e6:.1f}", flush=True)
    return out


def trained(name: str, model_dir: pathlib.Path, texts) -> peft.PeftModel:
    """A few large steps of LoRA on the int8 model by peft."""
    base = common.open_base(model_dir, 2, quantization_config=DENSE(dequantize=True))
    torch.manual_seed(1)
    model = peft.get_peft_model(base, peft.LoraConfig(
        task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=TARGETS.get(name, OTHERS)))
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
    types = getattr(model.config, "type_vocab_size", 0) > 1
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for step in range(4):
        first, second = zip(*texts[8 * step:8 * step + 8])
        batch = tokenizer(list(first), list(second), padding=True, return_tensors="pt", return_token_type_ids=types)
        model(**batch, labels=torch.arange(8) % 2).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def multiplied_out(model_dir: pathlib.Path) -> dict[str, torch.Tensor]:
    """The weights of an int8 model, with nothing but the definition of the format."""
    out = {}
    for name, tensor in load_file(model_dir / "model.safetensors").items():
        if name.endswith("weight_packed"):
            stem = name.removesuffix("_packed")
            with safe_open(model_dir / "model.safetensors", "pt") as f:
                shape, scale = f.get_tensor(stem + "_shape").tolist(), f.get_tensor(stem + "_scale")
            integers = tensor.view(torch.uint8)[:, :shape[1]].to(torch.int16) - 128
            out[stem] = integers.float() * scale
        elif not name.endswith(("weight_scale", "weight_shape")):
            out[name] = tensor.float()
    return out


def compressed(name: str, original: pathlib.Path, model_dir: pathlib.Path) -> bool:
    """Left compressed, as without any argument, against the weights multiplied out: every parameter of the file is taken."""
    model, info = transformers.AutoModel.from_pretrained(model_dir, output_loading_info=True)
    plain = transformers.AutoModel.from_pretrained(original)
    dense = {k.removeprefix(plain.base_model_prefix + "."): v for k, v in multiplied_out(model_dir).items()}
    plain.load_state_dict(dense, strict=False)
    ids = torch.arange(1000, 1040).reshape(2, 20)
    with torch.no_grad():
        same = torch.equal(model.eval()(ids).last_hidden_state, plain.to(torch.float32).eval()(ids).last_hidden_state)
    lost = {k for k in info["missing_keys"] if "pooler" not in k}
    print(f"{name}: left compressed, the same bits as multiplied out: {same}; parameters that were missing: {len(lost)}", flush=True)
    return same and not lost and model.dtype == torch.float32


def packed_by_the_library(name: str, model_dir: pathlib.Path, out: pathlib.Path) -> bool:
    """The same scales and numbers, packed by the library: the same file but for its order of rounding, read by ours."""
    shutil.copytree(model_dir, out)
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(num_bits=8, strategy="channel"))
    pack = BaseCompressor.get_value_from_registry("pack-quantized").compress
    tensors, dense = load_file(model_dir / "model.safetensors"), multiplied_out(model_dir)
    for stem in [k.removesuffix("_packed") for k in tensors if k.endswith("weight_packed")]:
        state = pack({"weight": dense[stem], "weight_scale": tensors[stem + "_scale"]}, scheme)
        for part, value in state.items():
            key = stem + part.removeprefix("weight")
            assert value.dtype == tensors[key].dtype and value.shape == tensors[key].shape, (key, value.dtype, value.shape)
            tensors[key] = value
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    ours, theirs = (load_file(d / "model.safetensors") for d in (model_dir, out))
    same = all(torch.equal(ours[k], theirs[k]) for k in ours)
    common.client("inspect", "--model", out)
    print(f"{name}: packed by compressed-tensors, the same tensors: {same}", flush=True)
    return same


def main() -> int:
    common.need(common.CLIENT, common.MINILM, common.MRPC)
    texts, agreed = common.pairs(), True
    print(f"transformers {transformers.__version__}, compressed-tensors {compressed_tensors.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        for name, original in common.encoders(scratch, pooler=True).items():
            int8, adapter = quantize(original, scratch / f"{name}-int8"), scratch / f"{name}-adapter"
            agreed &= compressed(name, original, int8)
            agreed &= packed_by_the_library(name, int8, scratch / f"{name}-packed")
            model = trained(name, int8, texts)
            model.save_pretrained(adapter)
            agreed &= common.compare(f"{name} in int8, adapter trained by peft", common.fedpet_logits(int8, adapter, texts),
                                     common.torch_logits(model, int8, texts))
            ours = common.train(int8, "method: lora, r: 4, alpha: 8", scratch / f"{name}-ours")
            base = common.open_base(int8, 2, quantization_config=DENSE(dequantize=True))
            agreed &= common.compare(f"{name} in int8, adapter trained here", common.fedpet_logits(int8, ours, texts),
                                     common.torch_logits(common.load_adapter(base, ours), int8, texts))
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
