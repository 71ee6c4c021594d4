"""Where a task computes: a model, its inputs, and the mode for measuring."""

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

from backtime.errors import UsageError

Module = TypeVar("Module", bound=torch.nn.Module)


def on_device(model: Module, device: str) -> Module:
    """The model on a device; raises ``UsageError`` where there is no such device, or one without numbers."""
    try:
        torch.zeros(1, device=device).item()  # which ``meta`` cannot give
        return model.to(device)
    # PyTorch's ways to say: no such device, not built for it, no numbers there
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"--device {device}: {str(error).splitlines()[0]}") from error


def tensors(arrays: tuple[NDArray[Any], ...], model: torch.nn.Module) -> list[torch.Tensor]:
    """Arrays as tensors where the model is."""
    device = next(model.parameters()).device
    return [torch.from_numpy(array).to(device) for array in arrays]


@contextlib.contextmanager
def measuring(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode without gradients; the model stays in eval mode, the next training step changes that."""
    model.eval()
    with torch.no_grad():
        yield
