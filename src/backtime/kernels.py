"""The only switch between the NumPy reference and the compiled engine.

Everything above this file calls a cell as ``forward`` and ``backward`` and does not know who answers.
``backend`` is ``"auto"`` (the engine where it can, the reference where not), ``"native"`` (the engine, or an
error that says why not) or ``"reference"``.
"""

import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from backtime.errors import UsageError
from backtime.reference import gru, losses, lstm, rnn
from backtime.reference.weights import Array, Weights

try:
    from backtime import _engine
except ImportError as error:  # a source checkout without a build: the reference still answers
    _engine = None  # type: ignore[assignment]
    _missing = str(error)

State = tuple[Array, ...]  # (h,) for rnn and gru, (h, c) for lstm
CELLS: dict[str, ModuleType] = {"rnn": rnn, "gru": gru, "lstm": lstm}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
BACKENDS = ("auto", "native", "reference")


class Gradients(NamedTuple):
    """What ``backward`` returns; ``dx`` is None for integer input or when not asked for."""

    dx: Array | None
    dstate: State
    dweights: Weights


@dataclass(frozen=True)
class Tape:
    """What ``forward`` keeps for ``backward``; opaque to callers."""

    backend: str
    cell: str
    saved: Any
