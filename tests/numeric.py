"""The definition of a gradient, as a check: central differences in float64, against random cotangents."""

from collections.abc import Callable, Mapping

import numpy as np

from backtime.reference.weights import Array

STEP = 3e-5
# (move in steps, its weight): dE/dv = (8 (E(v+s) - E(v-s)) - (E(v+2s) - E(v-2s))) / 12s. For a smooth E it
# is wrong by STEP^4/30 |E5| = 3e-20 |E5|, E5 the fifth derivative, from its curve, and by about
# 2^-52 |E| / STEP = 7e-12 |E| from rounding. |E| is below some hundreds here, E5 below 1e11 even where a
# layer norm of three close numbers is as good as a step. So a right gradient is within 1e-8 of the largest
# element; a wrong term is off by a fair part of it.
MOVES = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))
TOLERANCE = 1e-8

Outputs = tuple[Array, ...]


def check_gradients(
    forward: Callable[..., Outputs],
    backward: Callable[..., Mapping[str, Array]],
    arguments: Mapping[str, Array],
    seed: int = 0,
) -> None:
    """Compare a hand-derived backward pass with numeric differentiation, every element of every argument.

    ``forward(**arguments)`` returns a tuple of arrays, ``backward(*cotangents, **arguments)`` the gradient
    of ``E = sum(cotangent * output)`` for each argument, by the argument's name. Raises ``AssertionError``
    with a line for each argument whose gradient is wrong: its name, the largest deviation, where it is.
    """
    outputs = forward(**arguments)
    rng = np.random.default_rng(seed)
    cotangents = [rng.standard_normal(output.shape) for output in outputs]
    found = backward(*cotangents, **arguments)
    wrong = [f"{name} is given, but is no argument" for name in found.keys() - arguments.keys()]
    for name in arguments:
        expected = numeric_gradient(forward, cotangents, arguments, name)
        wrong += complaints(name, found.get(name), expected)
    if wrong:
        raise AssertionError("\n".join(wrong))


def numeric_gradient(
    forward: Callable[..., Outputs], cotangents: list[Array], arguments: Mapping[str, Array], name: str
) -> Array:
    """dE/d(argument ``name``), one element after the other."""
    value = arguments[name]
    assert value.dtype == np.float64, f"{name} is {value.dtype}: differences need float64"
    gradient = np.empty_like(value)
    for index in np.ndindex(value.shape):
        change = 0.0
        for steps, weight in MOVES:
            moved = value.copy()
            moved[index] += steps * STEP
            outputs = forward(**{**arguments, name: moved})
            change += weight * sum(np.vdot(d, y) for d, y in zip(cotangents, outputs, strict=True))
        gradient[index] = change / STEP
    return gradient


def complaints(name: str, found: Array | None, expected: Array) -> list[str]:
    """What is wrong with the gradient of ``name``: nothing, or one line."""
    if found is None or found.shape != expected.shape:
        shape = None if found is None else found.shape
        return [f"d{name} has shape {shape}; expected {expected.shape}"]
    deviation = np.abs(found - expected)
    worst = np.unravel_index(np.argmax(deviation), deviation.shape)  # argmax takes a NaN before any number
    if deviation[worst] <= TOLERANCE * max(1.0, np.abs(expected).max()):
        return []
    index = tuple(int(i) for i in worst)
    return [
        f"d{name} deviates by {deviation[worst]:.3g} at {index}: "
        f"{found[worst]:.9g} against {expected[worst]:.9g} by differences"
    ]
