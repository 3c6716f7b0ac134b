#!/usr/bin/env python3
"""Bottleneck adapters and prefixes: those that AdapterHub's library saved predict the same with us; written by us again,
they predict the same with the library, with a Hugging Face head and with its own flexible one."""
import pathlib
import sys
import tempfile

import adapters
import torch
import transformers
from safetensors.torch import save_file

import model_common as common

N_LABELS = 3
CONFIGS = {
    "houlsby": adapters.DoubleSeqBnConfig(reduction_factor=16),
    "houlsby, gelu, odd width": adapters.DoubleSeqBnConfig(reduction_factor=18.2, non_linearity="gelu"),
    "pfeiffer": adapters.SeqBnConfig(reduction_factor=8),
    "parallel": adapters.ParBnConfig(reduction_factor=4, scaling=2.5),
    "opendelta": adapters.BnConfig(mh_adapter=True, output_adapter=True, reduction_factor=8, non_linearity="gelu_new",
                                   original_ln_before=True, original_ln_after=False, residual_before_ln=False),
    "prefix, flat": adapters.PrefixTuningConfig(flat=True, prefix_length=7),
    "prefix, network": adapters.PrefixTuningConfig(prefix_length=5, bottleneck_size=24),
}


def open_base(model_dir: pathlib.Path):
    # The fused attention of the library's DistilBERT adds 1 to the scores of prefix keys: its mask for them is made for
    # the plain attention.
    model = common.open_base(model_dir, N_LABELS, attn_implementation="eager")
    adapters.init(model)
    return model


def save(model, out: pathlib.Path) -> None:
    """As save_adapter(use_safetensors=True), which fails on a prefix: layers share its tensors, and safetensors takes
    each once only."""
    if not any(".prefix_tunings." in k for k in model.state_dict()):
        model.save_adapter(str(out), "task", use_safetensors=True, with_head=True)
        return
    try:
        model.save_adapter(str(out), "task", use_safetensors=True)
    except RuntimeError:  # the configuration is written by then
        pass
    values = {k: v for k, v in model.state_dict().items() if ".prefix_tunings.task." in k and ".pool." not in k}
    save_file(values, out / "adapter.safetensors")
    model.save_head(str(out), use_safetensors=True)


def saved_by_adapters(model_dir: pathlib.Path, config, out: pathlib.Path):
    model = open_base(model_dir)
    model.add_adapter("task", config=config)
    model.train_adapter("task")
    common.shake(p for n, p in model.named_parameters() if p.requires_grad and ".pool." not in n)
    save(model, out)
    return model


def load(model, adapter: pathlib.Path):
    name = model.load_adapter(str(adapter), use_safetensors=True, load_as="ours", set_active=True)
    model.set_active_adapters(name)
    return model


def check(what: str, model_dir: pathlib.Path, config, out: pathlib.Path, texts) -> bool:
    model = saved_by_adapters(model_dir, config, out / "theirs")
    want = common.torch_logits(model, model_dir, texts)
    agreed = common.compare(f"{what}, saved by adapters", common.fedpet_logits(model_dir, out / "theirs", texts), want)
    native = common.convert(model_dir, out / "theirs", out / "native", "fedpet")
    ours = common.convert(model_dir, native, out / "ours", "adapterhub")
    got = common.torch_logits(load(open_base(model_dir), ours), model_dir, texts)
    return agreed & common.compare(f"{what}, written by us", want, got)


def check_flexible(name: str, model_dir: pathlib.Path, config, out: pathlib.Path, texts) -> bool:
    """The library's own model classes, whose heads are made of numbered layers."""
    def empty():
        return adapters.AutoAdapterModel.from_pretrained(str(model_dir), dtype=torch.float32, attn_implementation="eager")

    model = saved_by_adapters(model_dir, config, out / "theirs")
    ours = common.convert(model_dir, out / "theirs", out / "ours", "adapterhub")
    flexible = load(empty(), ours)
    agreed = common.compare(f"{name}, flexible head of ours", common.torch_logits(model, model_dir, texts),
                            common.torch_logits(flexible, model_dir, texts))
    flexible.save_adapter(str(out / "flexible"), "ours", use_safetensors=True, with_head=True)
    return agreed & common.compare(f"{name}, flexible head of theirs",
                                   common.fedpet_logits(model_dir, out / "flexible", texts),
                                   common.torch_logits(flexible, model_dir, texts))


def main() -> int:
    common.need(common.CLIENT, common.MINILM, common.MRPC)
    transformers.logging.set_verbosity_error()
    texts, agreed = common.pairs(32), True
    with tempfile.TemporaryDirectory() as scratch:
        for name, model_dir in common.encoders(pathlib.Path(scratch), pooler=True).items():
            for i, (what, config) in enumerate(CONFIGS.items()):
                out = pathlib.Path(scratch) / f"{name}-{i}"
                out.mkdir()
                agreed &= check(f"{name}, {what}", model_dir, config, out, texts)
            out = pathlib.Path(scratch) / f"{name}-flexible"
            out.mkdir()
            agreed &= check_flexible(name, model_dir, CONFIGS["pfeiffer"], out, texts)
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
