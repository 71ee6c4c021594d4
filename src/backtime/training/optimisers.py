"""The optimiser of a run, from torch.optim."""

from collections.abc import Iterable

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from backtime.models.memory import check_bytes
from backtime.training.averaging import AveragedSGD
from backtime.training.settings import Settings

SLOTS = {"adam": 2, "adamw": 2, "rmsprop": 1, "sgd": 0, "asgd": 1}  # numbers kept for each weight


def make_optimiser(parameters: Iterable[torch.nn.Parameter], settings: Settings) -> Optimizer:
    """Adam, AdamW, RMSprop (with char-rnn's memory of 0.95), plain or averaged SGD.

    Raises ``UsageError`` when weights, gradients and what the optimiser keeps are more than the memory.
    Where PyTorch has a fused step it is used: one pass over the weights instead of one for each operation.
    """
    weights = list(parameters)
    copies = 2 + SLOTS[settings.optimizer]
    count = sum(weight.numel() for weight in weights)
    check_bytes(
        copies * sum(weight.nbytes for weight in weights),
        f"training {count:,} weights with {settings.optimizer} ({copies} numbers for each)",
    )
    rate, decay = settings.rate, settings.weight_decay
    if settings.optimizer == "adam":
        return Adam(weights, lr=rate, weight_decay=decay, fused=True)
    if settings.optimizer == "adamw":
        return AdamW(weights, lr=rate, weight_decay=decay, fused=True)
    if settings.optimizer == "rmsprop":
        return RMSprop(weights, lr=rate, alpha=0.95, weight_decay=decay)
    if settings.optimizer == "asgd":
        return AveragedSGD(weights, lr=rate, weight_decay=decay, fused=True)
    return SGD(weights, lr=rate, weight_decay=decay, fused=True)


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Use ``rate`` from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
