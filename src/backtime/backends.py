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
    except ValueError as error:  # BACKTIME_ISA names a set that this machine has not
        raise UsageError(str(error)) from None

BACKENDS = ("auto", "native", "reference")


def available() -> bool:
    """Whether the compiled engine is there."""
    return _missing is None


def engine_info() -> dict[str, Any]:
    """What answers: ``isa`` (the instruction set chosen at import) and ``threads``."""
    if _missing is not None:
        return {"isa": None, "threads": 1, "why": _missing}
    return {"isa": _engine.isa(), "threads": _engine.get_threads()}


def set_threads(n: int) -> None:
    """Size of the engine's thread team; results do not depend on it."""
    if n < 1:
        raise UsageError(f"threads is {n}; expected a number from 1")
    if _missing is None:
        _engine.set_threads(n)


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
