#!/usr/bin/env python3
"""The training step of bench_step.c in PyTorch + peft: same model folder, same lengths, same hyper-parameters.

Prints the same KEY=VALUE line but for the GFLOP/s, which the C program derives from its count of products; their
ratio is the ratio of tokens/s. Batches are padded to their longest example, as a data collator does, or all to PAD_TO tokens.

    bench_step_peer.py DIR [THREADS [STEPS [PAD_TO]]]
"""
import os
import sys

threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)

import pathlib  # noqa: E402
import resource  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup, logging  # noqa: E402

BATCH = 32


def batches(lengths, vocab, pad, pad_to):
    """Endless batches of random tokens in a fresh order each epoch; pad_to 0: as long as their longest."""
    generator = torch.Generator().manual_seed(2)
    while True:
        order = torch.randperm(len(lengths), generator=generator).tolist()
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            n = torch.tensor([lengths[i] for i in chosen])
            mask = torch.arange(pad_to or int(n.max()))[None, :] < n[:, None]
            ids = torch.randint(4, vocab, mask.shape, generator=generator).where(mask, torch.tensor(pad))
            yield int(n.sum()), {"input_ids": ids, "attention_mask": mask.long(), "labels": torch.tensor(chosen) % 2}


def main():
    folder = pathlib.Path(sys.argv[1])
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    pad_to = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    logging.set_verbosity_error()
    warnings.simplefilter("ignore", FutureWarning)
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    base = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=8, target_modules=["query", "value"]))
    params = [p for p in model.parameters() if p.requires_grad]
    lengths = [int(line) for line in (folder / "lengths.txt").read_text().split()]
    data = batches(lengths, base.config.vocab_size, base.config.pad_token_id, pad_to)
    model.train()

    def fit(count):
        optimizer = torch.optim.AdamW(params, lr=1e-3, weight_decay=0.0)
        schedule = get_linear_schedule_with_warmup(optimizer, 0, count)
        tokens, total = 0, 0.0
        for _ in range(count):
            n, batch = next(data)
            loss = model(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
            schedule.step()
            tokens += n
            total += loss.item()
        return tokens, total / count

    fit(1)
    start, processor = time.monotonic(), time.process_time()
    tokens, loss = fit(steps)
    seconds, processor = time.monotonic() - start, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"who=pytorch threads={threads} ms_per_step={seconds / steps * 1e3:.1f} tokens_per_s={tokens / seconds:.0f} "
          f"tokens_per_cpu_s={tokens / processor:.0f} peak_mib={peak:.0f} loss={loss:.4f}")


if __name__ == "__main__":
    main()
