"""``paths``: which gradient, of which network, in which names; answered by a ``Derivation``."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.insight.derivation.derivation import Derivation
from backtime.insight.unfolded.graph import Graph, Wrt
from backtime.insight.unfolded.network import Network, check_whole, random_network
from backtime.insight.unfolded.notation import SYMBOLIC, Notation, parse_names

MOST_PATHS = 100  # that are listed


def paths(
    network: Network | str = "rnn",
    wrt: str = "Wx",
    at: int | str = "t+1",
    *,
    names: str | Sequence[str] = (),
    max_paths: int = MOST_PATHS,
    **random: Any,
) -> Derivation:
    """Every path of backpropagation through time from the loss at step ``at`` to ``wrt``.

    - ``network``: a ``Network`` with its numbers, or the name of a cell for a random one; then ``layers``,
      ``steps``, ``hidden_size``, ``input_size``, ``output_size``, ``loss``, ``seed`` and the cell's options
      are those of ``random_network``
    - ``wrt``: ``Wx``, ``Wh``, ``b``, ``bx``, ``bh`` with the number of the layer behind it (``Wx2``; layer 1
      without), ``h0`` or ``c0`` with the layer behind a colon (``h0:2``), or ``x_3``, the input of a step.
      ``b`` is ``bx``: in the rnn and the lstm the gradient of ``bh`` is the same
    - ``at``: the step of the loss, 1 to T; or a name for the last step, from which the others are counted
    - ``names``: of h in each layer, from the bottom up, and letters for others: ``"S,Z,y=o"``
    - ``max_paths``: with more than these, ``paths`` of the result is empty; counts and groups are exact

    Raises ``UsageError`` naming the argument that does not fit.
    """
    if isinstance(network, str):
        network = random_network(network, **random)
    elif not isinstance(network, Network):
        raise UsageError(f"network is a {type(network).__name__}; expected a Network or the name of a cell")
    elif random:
        raise UsageError(f"{next(iter(random))} is given; expected it with the name of a cell alone")
    check_whole("max_paths", max_paths, 0)
    layers, (step, last) = len(network.layers), _loss_step(at, network.T)
    states, letters = parse_names(names, layers)
    if re.fullmatch(r"b\d*", str(wrt)):
        letters = {"bx": letters.get("b", "b")} | letters
    notation = Notation(layers, step, last, states, letters)
    graph = Graph(network.cell, layers, step, _parse_wrt(str(wrt), network, notation))
    with np.errstate(all="ignore"):  # what overflows is said in words
        found = Derivation(network, graph, notation, max_paths)
        finite = all(np.isfinite(part.norm) for part in found.groups) and np.isfinite(found.gradient).all()
    if not finite:
        raise UsageError(
            "the gradient is not finite: its numbers overflow; expected smaller weights or fewer steps"
        )
    return found


def _loss_step(at: int | str, T: int) -> tuple[int, str]:
    """The number of the loss's step and what it is called."""
    text = str(at).strip()
    if text.isdecimal() and 1 <= int(text) <= T:
        return int(text), str(int(text))
    if SYMBOLIC.fullmatch(text):
        return T, text
    raise UsageError(f"at is {text!r}; expected a step from 1 to {T}, or a name of the last: t, t+1")


def _parse_wrt(wrt: str, network: Network, notation: Notation) -> Wrt:
    if found := re.fullmatch(r"(Wx|Wh|bx|bh|b)(\d*)", wrt):
        kind, layer = "bx" if found[1] == "b" else found[1], int(found[2] or 1)
    elif found := re.fullmatch(r"(h0|c0)(?::(\d+))?", wrt):
        kind, layer = found[1], int(found[2] or 1)
    elif found := re.fullmatch(r"x_?(?:\{(.+)\}|(.+))", wrt):
        return Wrt("x", 1, _named_step(wrt, found[1] or found[2], network.T, notation))
    else:
        raise UsageError(f"wrt is {wrt!r}; expected Wx, Wh, b, bx, bh, h0, c0 or x_ and a step")
    if not 1 <= layer <= len(network.layers):
        raise UsageError(f"wrt is {wrt!r}; expected a layer from 1 to {len(network.layers)}")
    if kind == "c0" and network.cell != "lstm":
        raise UsageError(f"wrt is 'c0'; expected h0, for the {network.cell} has no cell state")
    return Wrt(kind, layer)


def _named_step(wrt: str, name: str, T: int, notation: Notation) -> int:
    named = {notation.step(step): step for step in range(1, T + 1)}
    if name not in named:
        raise UsageError(
            f"wrt is {wrt!r}; expected x_ and a step from {notation.step(1)} to {notation.step(T)}"
        )
    return named[name]
