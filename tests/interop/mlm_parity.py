#!/usr/bin/env python3
"""Masked language models, both ways: what transformers saved scores alike here, and what `fedpet-client pretrain` wrote,
as F32 and as F16, going on with a model and beginning one, scores alike there; and so does the model of the quick start.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

import model_common as common

SCORES = common.CLIENT.parent / "mlm_scores"
TOKENIZERS = {"bert": "bert-base-uncased", "roberta": "roberta-base", "distilbert": "bert-base-uncased"}
QUICKSTART = pathlib.Path(__file__).resolve().parents[2] / "deploy/quickstart/model"
SHARE, IGNORED = 0.15, -100


def config(family: str):
    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
             "initializer_range": 0.05}
    if family == "bert":
        return transformers.BertConfig(**small)
    if family == "roberta":
        return transformers.RobertaConfig(vocab_size=50265, max_position_embeddings=130, type_vocab_size=1,
                                          layer_norm_eps=1e-5, **small)
    return transformers.DistilBertConfig(dim=64, n_layers=2, n_heads=4, hidden_dim=128, initializer_range=0.05)


def saved_by_transformers(family: str, out: pathlib.Path, dtype: torch.dtype) -> pathlib.Path:
    torch.manual_seed(len(family))
    model = transformers.AutoModelForMaskedLM.from_config(config(family))
    common.shake(p for p in model.parameters() if p.dim() == 1)
    model.to(dtype).save_pretrained(out)
    transformers.AutoTokenizer.from_pretrained(common.SHARED / "tokenizers" / TOKENIZERS[family]).save_pretrained(out)
    return out


def masked_batch(folder: pathlib.Path, texts: list[str]):
    """Token ids of the texts, and as tags the tokens behind masks."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    longest = min(100, tokenizer.model_max_length)
    ids = [torch.tensor(tokenizer(text, truncation=True, max_length=longest)["input_ids"]) for text in texts]
    tags = []
    for x in ids:
        chosen = torch.rand(len(x)) < SHARE
        chosen[0], chosen[-1], chosen[1] = False, False, True
        tags.append(torch.where(chosen, x, -1))
        x[chosen] = tokenizer.mask_token_id
    return tokenizer, ids, tags


def ours(folder: pathlib.Path, ids, tags) -> tuple[torch.Tensor, float]:
    with tempfile.TemporaryDirectory() as scratch:
        off = torch.tensor([0] + [len(x) for x in ids]).cumsum(0)
        save_file({"off": off.float(), "id": torch.cat(ids).float(), "tag": torch.cat(tags).float()}, f"{scratch}/in")
        subprocess.run([SCORES, folder, f"{scratch}/in", f"{scratch}/out"], check=True)
        out = load_file(f"{scratch}/out")
    return out["logits"], out["loss"].item()


def theirs(folder: pathlib.Path, tokenizer, ids, tags) -> tuple[torch.Tensor, float]:
    model, info = transformers.AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for kind in "missing_keys", "unexpected_keys", "mismatched_keys":
        assert not info[kind], (folder, kind, info[kind])
    pad = torch.nn.utils.rnn.pad_sequence
    labels = pad([t.where(t >= 0, IGNORED) for t in tags], True, IGNORED)
    with torch.no_grad():
        result = model.eval()(input_ids=pad(ids, True, tokenizer.pad_token_id),
                              attention_mask=pad([torch.ones_like(x) for x in ids], True, 0), labels=labels)
    return result.logits[labels != IGNORED], result.loss.item()


def compare(what: str, folder: pathlib.Path, texts: list[str]) -> bool:
    tokenizer, ids, tags = masked_batch(folder, texts)
    (a, a_loss), (b, b_loss) = ours(folder, ids, tags), theirs(folder, tokenizer, ids, tags)
    worst, off = (a - b).abs().max().item(), abs(a_loss - b_loss)
    print(f"{what}: {len(a)} masked tokens, logits of spread {b.std().item():.2f} differ by at most {worst:.1e}, "
          f"the loss of {b_loss:.4f} by {off:.1e}", flush=True)
    return worst <= common.TOLERANCE and off <= common.TOLERANCE


def pretrain(out: pathlib.Path, text: pathlib.Path, *options) -> dict:
    done = subprocess.run(
        [common.CLIENT, "pretrain", "--data", text, "--document", "line", "--hold-out", "10", "--out", out, "--format", "json",
         "--set", "local.steps=5", "--set", "local.batch_size=8", "--set", "local.lr=0.01", "--set", "local.max_length=64",
         *options], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    return json.loads(done.stdout)


def check_family(family: str, scratch: pathlib.Path, texts: list[str], text: pathlib.Path) -> bool:
    agreed = True
    for dtype in torch.float32, torch.float16:
        saved = saved_by_transformers(family, scratch / f"{family}-{dtype}", dtype)
        agreed &= compare(f"{family} saved by transformers in {str(dtype)[6:]}", saved, texts)
    for options in [], ["--dtype", "f16"], ["--set", "peft.method=lora"]:
        out = scratch / f"{family}-on{len(options)}{options[-1:]}"
        pretrain(out, text, "--model", saved, *options)
        agreed &= compare(f"{family} went on {' '.join(options)}", out, texts)
        same = transformers.AutoTokenizer.from_pretrained(out)(texts) == transformers.AutoTokenizer.from_pretrained(saved)(texts)
        agreed &= same
    for options in [], ["--dtype", "f16"]:
        out = scratch / f"{family}-new{len(options)}"
        pretrain(out, text, "--config", saved / "config.json", "--tokenizer", saved, *options)
        agreed &= compare(f"{family} begun from config.json {' '.join(options)}", out, texts)
    return agreed


def main() -> int:
    common.need(common.CLIENT, SCORES, common.MRPC, common.SHARED / "tokenizers")
    texts = [a for a, _ in common.pairs()]
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        text = scratch / "text.txt"
        text.write_text("\n".join(texts) + "\n", encoding="utf-8")
        agreed = [check_family(family, scratch, texts, text) for family in TOKENIZERS]
    agreed.append(compare("the model of the quick start", QUICKSTART, texts))
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main())
