"""NaN in the input of a layer: said once for each model, with the place where it is first.

That costs nothing where there is none: a NaN stays in the state of its sequence to the end, where the engine
sees it, and only then is the input looked through.
"""

import warnings
from collections.abc import Callable
from weakref import WeakSet

import torch
from torch import Tensor, nn

import backtime.nn.callers as callers
from backtime.nn.forks import serial_in_a_child
from backtime.nn.types import Network, PackedRows

_told: WeakSet[nn.Module] = WeakSet()


class NaNWarning(UserWarning):
    """The input of a layer holds NaN: so will what is computed from it."""


def look(network: Network, x: Tensor) -> None:
    """Warns where the input has a NaN; the engine has found one in what came of it."""
    modules = callers.modules()
    if not modules or modules[-1] in _told:
        return
    with torch.no_grad(), serial_in_a_child():
        where = _in_input(network, x)
    if where is None:  # the weights have it, or the first state, which comes of what has diverged
        return
    _told.add(modules[-1])
    warnings.warn(where.format(_name(modules)), NaNWarning, stacklevel=callers.level())


def _name(modules: list[nn.Module]) -> str:
    """The layer as its model names it."""
    kind = type(modules[0]).__name__
    names = [name for name, module in modules[-1].named_modules() if module is modules[0] and name]
    return f"{kind} {names[0]!r}" if names else kind


def _in_input(network: Network, x: Tensor) -> str | None:
    if not x.is_floating_point():
        return None
    places = x.isnan().any(-1).nonzero()
    found = [place for place in map(_place_of(network), places.tolist()) if place is not None]
    if not found:
        return None
    t, row = min(found)
    rows = len({b for _, b in found})
    step = "" if network.one_step else f"first at step {t}, "
    return f"the input of {{}} holds NaN: {step}row {row} (from 0), in {rows} row{'s' * (rows > 1)}"


def _place_of(network: Network) -> Callable[[list[int]], tuple[int, int] | None]:
    """From a place in the input to (step, row); None of what is beyond a length."""
    sequences = network.sequences
    if isinstance(sequences, PackedRows):
        return lambda place: _of_packed(sequences, place[0])

    def place_of(place: list[int]) -> tuple[int, int] | None:
        if network.one_step:
            return 0, place[0] if place else 0
        t, row = (*place, 0)[:2]
        if network.batch_first and len(place) == 2:
            t, row = row, t
        beyond = sequences is not None and t >= sequences[row]
        return None if beyond else (t, row)

    return place_of


def _of_packed(rows: PackedRows, r: int) -> tuple[int, int]:
    """Of the r-th row of a PackedSequence."""
    for t, size in enumerate(rows.batch_sizes.tolist()):
        if r < size:
            return t, r if rows.order is None else int(rows.order[r])
        r -= size
    raise AssertionError("a row beyond the last step")
