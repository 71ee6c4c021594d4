"""The network that is derived: weights of every layer, output unit and loss, one sequence, one target."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.insight.unfolded.graph import STATE
from backtime.kernels import GATES
from backtime.reference.checks import check_call, check_head
from backtime.reference.weights import Array, Weights

LOSSES = {
    "squared-error": "linear",
    "cross-entropy": "softmax",
    "binary-cross-entropy": "sigmoid",
}  # and unit
LARGEST_SIZE = 4096  # of a random network


@dataclass(frozen=True)
class Network:
    """L layers of one cell with an output unit, unfolded over one sequence; all in float64.

    - ``cell``: ``"rnn"``, ``"gru"`` or ``"lstm"``; ``options``: ``activation`` of the rnn, ``reset_after``
      of the gru
    - ``layers``: ``Weights(Wx, Wh, bx, bh)`` from the bottom up
    - ``Wy`` (V, H), ``by`` (V,), ``loss``: ``"squared-error"`` of linear, ``"cross-entropy"`` of softmax,
      ``"binary-cross-entropy"`` of sigmoid units (docs/losses.md)
    - ``x`` (T, I); ``state``: for each layer ``(h0,)`` or ``(h0, c0)``, each (H,); None is zeros
    - ``target``: (V,), for cross-entropy the number of the class

    Raises ``UsageError`` naming what does not fit.
    """

    cell: str
    layers: list[Weights]
    Wy: Array
    by: Array
    x: Array
    target: Any
    state: list[tuple[Array, ...]] | None = None
    loss: str = "squared-error"
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring every array to float64 and check that all fit each other."""
        _choice("cell", self.cell, STATE)
        _choice("loss", self.loss, LOSSES)
        if not isinstance(self.layers, (list, tuple)) or not self.layers:
            raise UsageError("layers is empty; expected a list with the weights of at least one")
        put = object.__setattr__  # the dataclass is frozen, this is its birth
        put(self, "layers", [_plain(weights) for weights in self.layers])
        for name in ("Wy", "by", "x"):
            put(self, name, _floats(name, getattr(self, name)))
        put(self, "target", self._checked_target())
        put(self, "state", self._checked_state())
        self._check()

    @property
    def T(self) -> int:  # noqa: N802 - the alphabet's name
        """The number of steps."""
        return len(self.x)

    def _checked_target(self) -> Array:
        if self.loss != "cross-entropy":
            return _floats("target", self.target)
        number = np.asarray(self.target)
        if number.shape != () or number.dtype.kind not in "iu":
            raise UsageError(f"target is {self.target!r}; expected the number of a class")
        return number

    def _checked_state(self) -> list[tuple[Array, ...]]:
        parts = STATE[self.cell]
        if self.state is None:
            return [tuple(np.zeros(w.Wh.shape[1]) for _ in parts) for w in self.layers]
        given = self.state if isinstance(self.state, (list, tuple)) else []
        fits = [len(own) == len(parts) for own in given if isinstance(own, (list, tuple))]
        if fits != [True] * len(self.layers) or len(given) != len(fits):
            expected = " and ".join(f"{part}0" for part in parts)
            raise UsageError(f"state does not fit; expected for each of {len(self.layers)} layers {expected}")
        return [tuple(_floats("state", part) for part in own) for own in given]

    def _check(self) -> None:
        if self.x.ndim != 2 or not self.T:
            raise UsageError(f"x has shape {self.x.shape}; expected (T, I), T from 1")
        first = self.layers[0].Wx
        if first.ndim == 2 and first.shape[1] != self.x.shape[1]:
            raise UsageError(f"x has shape {self.x.shape}; expected (T, I) = ({self.T}, {first.shape[1]})")
        below = self.x[:, None]  # (T, 1, I)
        for number, (weights, own) in enumerate(zip(self.layers, self.state or [], strict=True), 1):
            try:
                check_call(self.cell, below, tuple(part[None] for part in own), weights, self.options)
            except UsageError as error:
                raise UsageError(f"layer {number}: {error}") from error
            below = np.zeros((self.T, 1, weights.Wh.shape[1]))
        check_head(below[0], self.Wy, self.by, self.target[None], unit=LOSSES[self.loss])


def random_network(
    cell: str = "rnn",
    layers: int = 2,
    steps: int = 2,
    hidden_size: int = 2,
    input_size: int = 2,
    output_size: int = 2,
    loss: str = "squared-error",
    seed: int = 0,
    **options: Any,
) -> Network:
    """A network with random weights, input, first state and target; the same for the same ``seed``.

    Weights are uniform in +-1/sqrt(H), as PyTorch initialises them; input and first state are normal, the
    first state with deviation 1/2.
    """
    _choice("cell", cell, STATE)
    _choice("loss", loss, LOSSES)
    sizes = {"layers": layers, "steps": steps, "hidden_size": hidden_size}
    for name, value in (sizes | {"input_size": input_size, "output_size": output_size}).items():
        check_whole(name, value, 1, LARGEST_SIZE)
    check_whole("seed", seed, 0)
    random, H, rows = np.random.default_rng(seed), hidden_size, GATES[cell] * hidden_size

    def weight(*shape: int) -> Array:
        drawn: Array = random.uniform(-1, 1, shape) / np.sqrt(H)
        return drawn

    widths = [input_size] + [H] * (layers - 1)
    return Network(
        cell,
        [Weights(weight(rows, I), weight(rows, H), weight(rows), weight(rows)) for I in widths],
        weight(output_size, H),
        weight(output_size),
        random.standard_normal((steps, input_size)),
        _random_target(random, loss, output_size),
        [tuple(random.standard_normal(H) / 2 for _ in STATE[cell]) for _ in range(layers)],
        loss,
        options,
    )


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> None:
    """A whole number in its range; ``UsageError`` naming the argument when it is something else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} is {value!r}; expected a whole number from {least}")
    if most is not None and value > most:
        raise UsageError(f"{name} is {value}; expected a whole number up to {most}")


def _random_target(random: np.random.Generator, loss: str, V: int) -> Any:
    if loss == "cross-entropy":
        return int(random.integers(V))
    return random.standard_normal(V) if loss == "squared-error" else random.integers(0, 2, V).astype(float)


def _choice(name: str, value: Any, choices: Any) -> None:
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"{name} is {value!r}; expected one of {', '.join(choices)}")


def _floats(name: str, value: Any) -> Array:
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is not an array of numbers: {error}") from error
    if not np.isfinite(found).all():
        raise UsageError(f"{name} has values that are not finite; expected numbers")
    return found


def _plain(weights: Any) -> Weights:
    if not isinstance(weights, Weights):
        raise UsageError(f"layers holds a {type(weights).__name__}; expected Weights(Wx, Wh, bx, bh)")
    if further := [name for name in weights._fields[4:] if getattr(weights, name) is not None]:
        raise UsageError(f"{further[0]} is given; expected the plain cell, Weights(Wx, Wh, bx, bh)")
    found = Weights(*(_floats(name, getattr(weights, name)) for name in weights._fields[:4]))
    if found.Wh.ndim != 2:
        raise UsageError(f"Wh has shape {found.Wh.shape}; expected (G*H, H)")
    return found
