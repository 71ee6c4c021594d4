"""Who gets the processors: the engine, and PyTorch's operations between its calls."""

import torch

import backtime.kernels as kernels

FEW = 2_000_000  # weights; below, waking PyTorch's OpenMP threads costs an optimiser step more than they save


def use_threads(threads: int | None) -> None:
    """Let PyTorch and the engine use so many threads; None leaves them as they are."""
    if threads is not None:
        torch.set_num_threads(threads)
        kernels.set_threads(threads)


def share_threads(model: torch.nn.Module) -> None:
    """Leave the processors to the engine where the operations between its calls are small."""
    if sum(weight.numel() for weight in model.parameters()) < FEW:
        torch.set_num_threads(1)
