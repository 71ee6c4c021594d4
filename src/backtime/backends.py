"""Which implementation answers: the compiled engine, or the NumPy reference."""

import os
from typing import Any

from backtime.errors import UsageError
from backtime.reference.weights import Array, Integers, Weights

_missing: str | None = None
try:
    import backtime._engine as _engine
    import backtime.native as native
except ImportError as error:  # a source checkout without a build: the reference still answers
    _missing = str(error)
else:
    try:
        _engine.isa()
        _engine.get_threads()
        _engine.team()
    except ValueError as error:  # an environment variable that asks for what is not there
        raise UsageError(str(error)) from None

BACKENDS = ("auto", "native", "reference")


def available() -> bool:
    """Whether the compiled engine is there."""
    return _missing is None


def engine_info() -> dict[str, Any]:
    """What answers: ``isa``, the instruction set, and ``threads``, how many a call takes at most.

    ``team`` says whose threads they are at this moment: ``"pytorch"`` or ``"own"`` (docs/threads.md).
    """
    if _missing is not None:
        return {"isa": None, "threads": 1, "team": None, "why": _missing}
    return {"isa": _engine.isa(), "threads": _engine.get_threads(), "team": _engine.team()}


def set_threads(n: int | None) -> None:
    """How many threads a call takes at most; None for PyTorch's number again. Results do not depend on it."""
    if n is not None and n < 1:
        raise UsageError(f"threads is {n}; expected a number from 1, or None")
    if _missing is None:
        _engine.set_threads(n or 0)


def choose(backend: str) -> str:
    """``"native"`` or ``"reference"`` for this ``backend``; ``BACKTIME_BACKEND`` overrides ``"auto"``."""
    if backend == "auto":
        backend = os.environ.get("BACKTIME_BACKEND", "auto")
    if backend not in BACKENDS:
        raise UsageError(f"backend is {backend!r}; expected one of {', '.join(BACKENDS)}")
    if backend == "native" and _missing is not None:
        raise UsageError(f"backend='native', but the compiled engine is missing: {_missing}")
    return "reference" if backend == "reference" or _missing is not None else "native"


def goes_native(backend: str, x: Array | Integers, *weights: Weights) -> bool:
    """Whether the engine answers this call; ``UsageError`` where it must and cannot."""
    if choose(backend) == "reference":
        return False
    for own in weights:
        if why_not := native.can_run(x, own):
            if backend == "native":
                raise UsageError(f"backend='native', but {why_not}")
            return False
    return True
