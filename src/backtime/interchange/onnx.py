"""ONNX: the nodes RNN, GRU and LSTM (operator set 14 and later) as Weights and options, and back.

    W (D, G*H, I), R (D, G*H, H), B (D, 2*G*H), P (D, 3H)      gates: LSTM i o f g; GRU z r n; peephole i o f

``D`` is the number of directions. What the node computes: ``backtime.interchange.onnx_run``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from backtime.errors import UsageError
from backtime.interchange.gates import ONNX, ONNX_PEEPHOLE, OWN, OWN_PEEPHOLE, reorder
from backtime.reference.weights import Array, Weights

CELLS = {"RNN": "rnn", "GRU": "gru", "LSTM": "lstm"}
DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid"}
KNOWN = {
    "activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "input_forget",
    "layout", "linear_before_reset",
}  # fmt: skip


class Direction(NamedTuple):
    """One direction of a node, as the kernels take it."""

    weights: Weights
    options: dict[str, Any]
    reverse: bool


class Node(NamedTuple):
    """A node: its cell, its directions, and whether its batch axis comes first."""

    cell: str
    directions: list[Direction]
    batch_first: bool


def from_onnx(
    operator: str,
    W: Array,
    R: Array,
    B: Array | None = None,
    P: Array | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Node:
    """The node's weights and options; raises ``UsageError`` for an attribute that has no counterpart."""
    if operator not in CELLS:
        raise UsageError(f"operator is {operator!r}; expected one of {', '.join(CELLS)}")
    own = {name: _text(value) for name, value in (attributes or {}).items()}
    _check(own)
    reverses = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[
        own.get("direction", "forward")
    ]
    if len(W) != len(reverses):
        raise UsageError(
            f"W has {len(W)} directions; expected {len(reverses)} for direction={own.get('direction')!r}"
        )
    activations = _activations(operator, own, len(reverses))
    directions = [
        Direction(
            _weights(CELLS[operator], W[d], R[d], None if B is None else B[d], None if P is None else P[d]),
            _options(operator, own, activations[d]),
            reverse,
        )
        for d, reverse in enumerate(reverses)
    ]
    return Node(CELLS[operator], directions, bool(own.get("layout", 0)))


def to_onnx(cell: str, directions: Sequence[Direction]) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """The operator, its weights by name (W, R, B and P where there is one) and its attributes."""
    operator = {own: name for name, own in CELLS.items()}.get(cell)
    if operator is None:
        raise UsageError(f"cell is {cell!r}; expected one of {', '.join(CELLS.values())}")
    first = directions[0].options
    if len(directions) == 2 and {k: v for k, v in directions[1].options.items() if k != "activation"} != {
        k: v for k, v in first.items() if k != "activation"
    }:
        raise UsageError("the options of the two directions differ; expected the same for both")
    ways = tuple(d.reverse for d in directions)
    attributes = {
        "direction": {(False,): "forward", (True,): "reverse", (False, True): "bidirectional"}[ways],
        "hidden_size": directions[0].weights.Wh.shape[1],
    }
    attributes |= _attributes(cell, directions)
    parts = [_arrays(cell, d.weights) for d in directions]
    return operator, {name: np.stack([p[name] for p in parts]) for name in parts[0]}, attributes


def _weights(cell: str, W: Array, R: Array, B: Array | None, P: Array | None) -> Weights:
    """One direction in backtime's order of gates."""
    b = np.zeros(2 * len(W), W.dtype) if B is None else B
    Wx, Wh, bx, bh = (reorder(a, ONNX[cell], OWN[cell]) for a in (W, R, *np.split(b, 2)))
    p = None if P is None else reorder(P, ONNX_PEEPHOLE, OWN_PEEPHOLE).reshape(3, -1)
    return Weights(Wx, Wh, bx, bh, p=p)


def _arrays(cell: str, weights: Weights) -> dict[str, Array]:
    beyond = [
        n for n, v in weights._asdict().items() if n not in ("Wx", "Wh", "bx", "bh", "p") and v is not None
    ]
    if beyond:
        raise UsageError(f"weights have {', '.join(beyond)}; ONNX has no place for them")
    W, R, bx, bh = (reorder(a, OWN[cell], ONNX[cell]) for a in weights[:4])
    found = {"W": W, "R": R, "B": np.concatenate([bx, bh])}
    if weights.p is not None:
        found["P"] = reorder(weights.p, OWN_PEEPHOLE, ONNX_PEEPHOLE).reshape(-1)
    return found


def _options(operator: str, own: Mapping[str, Any], activation: str) -> dict[str, Any]:
    if operator == "RNN":
        return {"activation": activation}
    if operator == "GRU":
        return {"reset_after": bool(own.get("linear_before_reset", 0))}
    return {"coupled": True} if own.get("input_forget", 0) else {}


def _attributes(cell: str, directions: Sequence[Direction]) -> dict[str, Any]:
    """The reverse of ``_options``."""
    options = directions[0].options
    if cell == "rnn":
        names = [d.options.get("activation", "tanh") for d in directions]
        missing = [name for name in names if name not in ACTIVATIONS]
        if missing:
            raise UsageError(f"activation is {missing[0]!r}; ONNX has {', '.join(ACTIVATIONS)}")
        return {"activations": [name.capitalize() for name in names]}
    if cell == "gru":
        return {"linear_before_reset": int(options.get("reset_after", True))}
    return {"input_forget": 1} if options.get("coupled") else {}


def _activations(operator: str, own: Mapping[str, Any], D: int) -> list[str]:
    """Of each direction the RNN's activation; the other cells have only their usual ones."""
    usual = [name.lower() for name in DEFAULTS[operator]]
    given = [_text(name).lower() for name in own.get("activations", usual * D)]
    each = [given[d * len(usual) : (d + 1) * len(usual)] for d in range(D)]
    if operator == "RNN" and all(len(names) == 1 and names[0] in ACTIVATIONS for names in each):
        return [names[0] for names in each]
    if any(names != usual for names in each):
        wanted = ", ".join(ACTIVATIONS) if operator == "RNN" else " ".join(usual)
        raise UsageError(f"activations is {given}; expected {wanted} for each direction of {operator}")
    return [usual[0]] * D


def _check(own: Mapping[str, Any]) -> None:
    for name in own:
        if name not in KNOWN:
            raise UsageError(f"attribute {name} is not known; expected {', '.join(sorted(KNOWN))}")
    if own.get("clip"):
        raise UsageError(f"attribute clip is {own['clip']}; backtime's cells do not clip")
    if own.get("direction", "forward") not in ("forward", "reverse", "bidirectional"):
        raise UsageError(f"direction is {own['direction']!r}; expected forward, reverse or bidirectional")


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
