"""The optimiser of a run, from torch.optim."""

from collections.abc import Iterable

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from backtime.training.settings import Settings


def make_optimiser(parameters: Iterable[torch.nn.Parameter], settings: Settings) -> Optimizer:
    """Adam, AdamW, RMSprop (with char-rnn's memory of 0.95) or plain SGD.

    Where PyTorch has a fused step it is used: one pass over the weights instead of one for each operation.
    """
    rate, decay = settings.rate, settings.weight_decay
    if settings.optimizer == "adam":
        return Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    if settings.optimizer == "adamw":
        return AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    if settings.optimizer == "rmsprop":
        return RMSprop(parameters, lr=rate, alpha=0.95, weight_decay=decay)
    return SGD(parameters, lr=rate, weight_decay=decay, fused=True)


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Use ``rate`` from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
