"""The calls into the compiled engine: a network and its tensors in the engine's words, new tensors back."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

import backtime.kernels as kernels
from backtime.nn.backends import nan_input
from backtime.nn.backends.memory import capsule, capsules, tensor
from backtime.nn.types import Network, Options, Weights

if kernels.available():
    import backtime._engine as _engine

    FORWARD = {torch.float32: _engine.network_forward32, torch.float64: _engine.network_forward64}
    BACKWARD = {torch.float32: _engine.network_backward32, torch.float64: _engine.network_backward64}
    # A step of a training loop takes what the step before has freed: see csrc/python/heap.hpp.
    _engine.keep_freed_memory()


def forward(
    network: Network, x: Tensor, h0: Tensor | None, c0: Tensor | None, weights: Any, save: bool
) -> tuple[tuple[Tensor, ...], Any]:
    """``(y, h)`` or ``(y, h, c)``, without y of one step; and what ``save`` keeps for ``backward``."""
    function: Any = FORWARD[weights[0].dtype]
    *made, saved, nan = function(
        *_named(network),
        (network.directions, network.sums, network.batch_first, network.one_step),
        capsule(x),
        capsules(weights),
        capsule(h0),
        capsule(c0),
        _sequences(network),
        capsule(network.reset),
        *_settings(network),
        save,
    )
    if nan:
        nan_input.look(network, x)
    return tuple([tensor(one) for one in made if one is not None]), saved


def backward(
    network: Network, saved: Any, tensors: tuple[Any, ...], upstream: Any, need: tuple[bool, ...]
) -> list[Tensor | None]:
    """Gradients of x, h0, c0 and the weights where ``need`` says so; ``saved`` is used up.

    ``tensors`` are these and y. ``upstream`` are the gradients of what ``forward`` gave, None for zeros.
    """
    x, _, _, *weights, y = tensors
    dy, dh, dc = (*([None] if network.one_step else []), *upstream, None)[:3]
    function: Any = BACKWARD[weights[0].dtype]
    result = function(
        saved,
        *_named(network),
        capsule(x),
        capsules(weights),
        capsule(y),
        capsule(dy),
        capsule(dh),
        capsule(dc),
        *_settings(network),
        need,
    )
    return [tensor(one) if wanted else None for one, wanted in zip(result, need, strict=True)]


def _named(network: Network) -> tuple[str, int]:
    """The engine's name of the cell, and a bit for each field of the weights."""
    before = network.options and not network.options[0].get("reset_after", True)
    return "gru_before" if before else network.cell, _bits(network.fields)


@cache
def _bits(fields: tuple[str, ...]) -> int:
    return sum(1 << Weights._fields.index(name) for name in fields)


def _sequences(network: Network) -> Any:
    """None, a list of lengths, or (sizes of the steps, order, B) of packed rows."""
    given = network.sequences
    if given is None or isinstance(given, list):
        return given
    return capsule(given.batch_sizes), capsule(given.order), given.B


def _settings(network: Network) -> tuple[Any, Any]:
    """The options of each layer and direction, and the masks between the layers."""
    if not network.options and not network.masks:
        return (), ()
    return tuple([_option(options) for options in network.options]), tuple(capsules(network.masks))


def _option(options: Options) -> tuple[Any, ...]:
    """(activation, output, coupled, keep_h, keep_c, h_mask), or () where none is asked for."""
    if not options:
        return ()
    mask = options.get("h_mask")
    return (
        options.get("activation", "tanh"),
        options.get("output_activation", "identity"),
        bool(options.get("coupled", False)),
        _keep(options.get("keep_h")),
        _keep(options.get("keep_c")),
        None if mask is None else capsule(mask.contiguous()),
    )


def _keep(value: Any) -> Any:
    """A share for all rows and units, or one for each; None for none."""
    if isinstance(value, Tensor):
        return capsule(value.contiguous())
    return float(value) or None if value else None
