"""The options of a call in the engine's order."""

from typing import Any

import numpy as np

from backtime.native.arrays import contiguous
from backtime.reference.weights import Array, Integers


def engine_options(
    options: dict[str, Any], batch_sizes: Integers | None, reverse: bool, dtype: np.dtype
) -> tuple[Any, ...]:
    """(activation, output, coupled, keep_h, keep_c, h_mask, cut), or () where none is asked for."""
    if not options:
        return ()
    given = {name: value for name, value in options.items() if name != "reset_after"}
    if not given:
        return ()
    mask, reset = given.get("h_mask"), given.get("reset")
    return (
        given.get("activation", "tanh"),
        given.get("output_activation", "identity"),
        bool(given.get("coupled", False)),
        _keep(given.get("keep_h"), dtype),
        _keep(given.get("keep_c"), dtype),
        None if mask is None else contiguous(mask, dtype),
        None if reset is None else cuts(reset, batch_sizes, reverse),
    )


def _keep(value: Any, dtype: np.dtype) -> Any:
    if value is None:
        return None
    return contiguous(value, dtype) if isinstance(value, np.ndarray) else float(value) or None


def cuts(reset: Array, batch_sizes: Integers | None, reverse: bool) -> Array:
    """(R,) where the state that enters a row's step is zero, from where a new sequence begins.

    In the reverse direction the state crosses the same place from the other side: one step earlier.
    """
    begins: Any = contiguous(reset).reshape(-1).astype(np.uint8)
    if not reverse:
        return begins  # type: ignore[no-any-return]
    sizes = np.full(reset.shape[0], reset.shape[1]) if batch_sizes is None else np.asarray(batch_sizes)
    later = np.arange(sizes[0], sizes.sum())
    earlier = later - np.repeat(sizes[:-1], sizes[1:])
    cut: Any = np.zeros_like(begins)
    cut[earlier] = begins[later]
    return cut  # type: ignore[no-any-return]


def kernel(cell: str, options: dict[str, Any]) -> str:
    """The engine's name of the cell."""
    return "gru_before" if not options.get("reset_after", True) else cell


def one_kernel(cell: str, options: tuple[dict[str, Any], dict[str, Any]]) -> bool:
    """Whether both directions are the same kind of cell, and so can run at once."""
    return kernel(cell, options[0]) == kernel(cell, options[1])
