"""The state that is carried from step to step: its tensors, whatever form it has."""

import torch

from backtime.training.task import Carried


def tensors_of(carried: Carried) -> list[torch.Tensor]:
    """The tensors of a carried state, in order."""
    if carried is None:
        return []
    if isinstance(carried, torch.Tensor):
        return [carried]
    return [tensor for part in carried for tensor in tensors_of(part)]


def with_tensors(carried: Carried, tensors: list[torch.Tensor]) -> Carried:
    """A state of the form of ``carried`` with its tensors taken from the front of the list ``tensors``."""
    if carried is None:
        return None
    if isinstance(carried, torch.Tensor):
        return tensors.pop(0)
    return tuple(with_tensors(part, tensors) for part in carried)


def detached(carried: Carried) -> Carried:
    """The same numbers cut off from their graph: where truncated backpropagation truncates."""
    return with_tensors(carried, [tensor.detach() for tensor in tensors_of(carried)])


def first_sequences(carried: Carried, B: int) -> Carried:
    """The state of the first ``B`` sequences, of tensors (..., B, H): a last batch may have fewer."""
    return with_tensors(carried, [tensor[..., :B, :].contiguous() for tensor in tensors_of(carried)])
