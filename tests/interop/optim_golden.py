#!/usr/bin/env python3
"""Makes tests/nn/golden/optim.txt: ten steps of torch.optim.AdamW and torch.optim.SGD in two parameter groups, with and
without clipping by torch.nn.utils.clip_grad_norm_, under transformers' schedules with warm-up.

Usage: optim_golden.py > tests/nn/golden/optim.txt
"""

import math

import torch
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

STEPS, WARMUP = 10, 0.25
LR, BETAS, EPS, DECAY = 3e-2, (0.9, 0.98), 1e-6, 0.1
SHAPES = {"decays.weight": (3, 4), "spared.bias": (5,)}


def numbers(values):
    return " ".join(float(v).hex() for v in values)


def run(method, max_norm, schedule):
    """Prints a case: the optimiser, the schedule, the clipping norm, the start, then for each step lr, gradient, norm, parameters."""
    random = torch.Generator().manual_seed(7)
    params = [torch.nn.Parameter(torch.randn(s, generator=random)) for s in SHAPES.values()]
    groups = [{"params": params[:1], "weight_decay": DECAY}, {"params": params[1:], "weight_decay": 0.0}]
    if method == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    else:
        optimizer = torch.optim.SGD(groups, lr=LR)
    warmup = math.ceil(WARMUP * STEPS)
    if schedule == "linear":
        scheduler = get_linear_schedule_with_warmup(optimizer, warmup, STEPS)
    else:
        scheduler = get_constant_schedule_with_warmup(optimizer, warmup)

    print(method, schedule, max_norm)
    print(numbers(torch.cat([p.detach().flatten() for p in params])))
    for step in range(STEPS):
        for p in params:
            p.grad = torch.randn(p.shape, generator=random) * (0.1 + 0.3 * step)
        gradient = torch.cat([p.grad.flatten() for p in params]).clone()
        norm = gradient.norm() if max_norm == 0 else torch.nn.utils.clip_grad_norm_(params, max_norm)
        lr = scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
        print(numbers([lr]))
        print(numbers(gradient))
        print(numbers([norm]))
        print(numbers(torch.cat([p.detach().flatten() for p in params])))


if __name__ == "__main__":
    for method in ("adamw", "sgd"):
        for schedule in ("linear", "constant"):
            for max_norm in (0, 2.5):
                run(method, max_norm, schedule)
