"""What units do on a sequence: their activation at each step, and which simple property each one follows.

After Karpathy, Johnson and Fei-Fei, "Visualizing and understanding recurrent networks" (arXiv 1506.02078).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from backtime.errors import UsageError
from backtime.insight.measures import Floats

SHOWN = 3  # likeliest next symbols that are told of each character
PAIRS = {"(": ")", "[": "]", "{": "}"}
QUOTES = "\"'`"


@dataclass
class Unit:
    """One unit, and the property that its activation follows best; ``correlation`` is Pearson's, -1 to 1."""

    number: int
    follows: str
    correlation: float
    values: Floats  # (T,)  its activation at each symbol


@dataclass
class Units:
    """The text or other sequence, step by step, the units that follow something best, and, of a text, what
    the model expected next.
    """

    part: str  # "h", "c" or a gate's letter
    layer: int | None  # None: the top one
    symbols: list[str]
    units: list[Unit]
    # of each symbol the likeliest next ones, and their probabilities
    following: list[list[tuple[str, float]]] = field(default_factory=list)


@dataclass
class Passage:
    """What a recurrent layer reads: T steps, for people, and numbers (T,) that are known of them, by name."""

    layer: nn.Module
    steps: list[str]
    properties: dict[str, Floats]


def properties(symbols: list[str]) -> dict[str, Floats]:
    """Of each symbol (T,): whether it is inside quotes or brackets, its place in the line, the indentation.

    A quotation ends with the mark that it began with, or with the line; brackets of the three kinds are
    counted together, and a closing one without an opening one is no bracket.
    """
    found: dict[str, list[float]] = {
        "inside quotes": [], "inside brackets": [], "position in line": [], "indentation": []
    }  # fmt: skip
    quote, depth, place, indent, leading = "", 0, 0, 0, True
    for symbol in "".join(symbols) if max(map(len, symbols), default=1) == 1 else symbols:
        leading = leading and symbol == " "
        indent += leading
        if symbol in QUOTES and not (quote and symbol != quote):
            quote = "" if quote else symbol
        depth = max(0, depth + (symbol in PAIRS) - (symbol in PAIRS.values()))
        for name, value in zip(found, (bool(quote), depth > 0, place, indent), strict=True):
            found[name].append(float(value))
        place += 1
        if symbol == "\n":
            quote, place, indent, leading = "", 0, 0, True
    return {name: np.array(values) for name, values in found.items()}


def correlations(values: Floats, wanted: Floats) -> Floats:
    """Pearson's, of each column of ``values`` (T, H) with ``wanted`` (T,); 0 where one is constant."""
    a, b = values - values.mean(0), wanted - wanted.mean()
    size = np.linalg.norm(a, axis=0) * np.linalg.norm(b)
    found: Floats = np.divide(a.T @ b, size, out=np.zeros(values.shape[1]), where=size > 1e-12)
    return found


@torch.no_grad()
def look(
    model: Any, vocabulary: Any, tokens: Tensor, count: int = 8, part: str = "h", layer: int = -1
) -> Units:
    """What the units of one layer of a language model do on ``tokens`` (T,), the best followers first.

    ``part`` is ``"h"``, ``"c"`` or the letter of a gate. Raises ``UsageError`` where the cell has no such.
    """
    model.eval()
    x = tokens[:, None]
    y, _, traces = model.rnn(x if model.embedding is None else model.embedding(x), trace=True)
    if not -len(traces) <= layer < len(traces):
        raise UsageError(f"layer is {layer}; expected 0 to {len(traces) - 1}")
    trace = traces[layer]
    parts = {"h": trace.h, "c": trace.c, **trace.gates}
    if parts.get(part) is None:
        known = ", ".join(name for name, value in parts.items() if value is not None)
        raise UsageError(f"part is {part!r}; expected one of {known}")
    values = parts[part][:, 0].double().cpu().numpy()
    symbols = [vocabulary.decode([int(token)]) for token in tokens]
    chosen = followers(values, properties(symbols), count)
    number = layer % len(traces)
    return Units(
        part, number, symbols, chosen, _following(model.head.logits(model.columns(y))[:, 0], vocabulary)
    )


def followers(values: Floats, wanted: dict[str, Floats], count: int) -> list[Unit]:
    """Of units (T, H) the ``count`` that follow one of the ``wanted`` properties (T,) best."""
    names = list(wanted)
    table = np.stack([correlations(values, wanted[name]) for name in names])  # (properties, H)
    best = np.abs(table).argmax(0)
    order = np.argsort(-np.abs(table).max(0), kind="stable")[:count]
    return [Unit(int(u), names[best[u]], float(table[best[u], u]), values[:, u]) for u in order]


def units_over(read: Sequence[tuple[Passage, Callable[[], Any]]], count: int) -> Units:
    """What the outputs of recurrent layers do over several passages, each read by running its function.

    Properties that not all passages have are left out. The last step of a passage ends its line.
    """
    values = np.concatenate([_outputs(passage.layer, run) for passage, run in read])
    first, *others = [passage.properties for passage, _ in read]
    common = [name for name in first if all(name in own for own in others)]
    wanted = {name: np.concatenate([own.properties[name] for own, _ in read]) for name in common}
    steps = [step for own, _ in read for step in (*own.steps[:-1], f"{own.steps[-1]}\n")]
    return Units("h", None, steps, followers(values, wanted, count))


@torch.no_grad()
def _outputs(layer: nn.Module, run: Callable[[], Any]) -> Floats:
    """The outputs (T, H) of a layer on the one sequence that it reads while ``run()`` runs."""
    seen: list[Any] = []
    handle = layer.register_forward_hook(lambda _, args, output: seen.append(output[0]))
    try:
        run()
    finally:
        handle.remove()
    rows = seen[0].data if isinstance(seen[0], PackedSequence) else seen[0]
    found: Floats = rows.detach().reshape(-1, rows.shape[-1]).double().cpu().numpy()
    return found


def _following(logits: Tensor, vocabulary: Any) -> list[list[tuple[str, float]]]:
    likely, which = torch.softmax(logits, -1).topk(min(SHOWN, logits.shape[1]), -1)
    rows = zip(which.tolist(), likely.tolist(), strict=True)
    return [[(vocabulary.decode([n]), round(p, 4)) for n, p in zip(*row, strict=True)] for row in rows]


def shade(values: Floats) -> NDArray[np.float64]:
    """Between -1 and 1 for colours: over the largest absolute value."""
    most = np.abs(values).max(initial=0.0)
    return values / most if most else values
