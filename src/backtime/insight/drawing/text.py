"""A derivation as text for the terminal, and as a value for JSON."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from backtime.insight.derivation.counting import law
from backtime.insight.derivation.derivation import Derivation
from backtime.insight.derivation.records import Group, Path, StateGradient
from backtime.insight.unfolded.graph import WEIGHTS
from backtime.insight.unfolded.network_files import network_to_json
from backtime.reference.weights import Array

MOST_PRINTED = 16  # entries of a matrix on one line of the table
MOST_IN_JSON = 1000  # entries of a matrix, and numbers of the network


def text_report(found: Derivation, factors: bool = False, states: bool = False) -> str:
    """Formulas, values, groups, and whether they add up.

    With ``factors`` every partial derivative; with ``states`` dE/dh by layer and lag.
    """
    return "\n".join(_lines(found, factors, states)) + "\n"


def formulas(paths: Sequence[Path]) -> list[str]:
    """The products, one a line, factor under factor."""
    rows = [[factor.text for factor in path.factors] for path in paths]
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return [
        " ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip() for row in rows
    ]


def title(found: Derivation) -> str:
    """What is derived: ``dE_{t+1}/dWx, Wx of layer 1 (S): 3 paths``."""
    kind, layer, _ = found.graph.wrt
    own = "" if kind == "x" else f" of layer {layer} ({found.notation.state(layer)})"
    count = f"{found.count:,} path" + ("" if found.count == 1 else "s")
    return f"{_gradient_sign(found)}{own}, {found.graph.cell}: {count}"


def verdict(found: Derivation) -> str:
    """Whether the terms add up to the gradient of backpropagation through time."""
    parts = found.paths or found.groups
    name = "path" if found.paths else "group"
    terms = f"The term of the {name} is" if len(parts) == 1 else f"The {len(parts):,} {name}s add up to"
    if not found.adds_up:
        terms = f"WRONG: the {name}s DO NOT add up to"
    return (
        f"{terms} the gradient of backpropagation through time: largest difference {found.difference:.1e}, "
        f"allowed {found.allowed:.1e}"
    )


def to_json(found: Derivation) -> dict[str, Any]:
    """The derivation as a value for JSON. Large matrices are null; their norms are there."""
    network, graph = found.network, found.graph
    head = {
        "cell": graph.cell,
        "layers": graph.layers,
        "steps": network.T,
        "at": graph.at,
        "wrt": found.notation.text(graph.ends()[0]) if graph.wrt.kind in "x h0 c0" else graph.wrt.kind,
        "layer": graph.wrt.layer,
        "loss": network.loss,
        "E": float(found.values[graph.loss][0]),
        "count": found.count,
    }
    return head | {
        "paths": [_path_json(found, path) for path in found.paths],
        "groups": [_term_json(found, g) | {"layer": g.layer, "count": g.count} for g in found.groups],
        "states": [_state_json(state) for state in found.states],
        "gradient": _array(found.gradient),
        "gradient_norm": float(np.linalg.norm(found.gradient)),
        "difference": found.difference,
        "allowed": found.allowed,
        "adds_up": found.adds_up,
        "network": network_to_json(network) if _numbers(found) <= MOST_IN_JSON else None,
    }


def _lines(found: Derivation, factors: bool, states: bool) -> Iterator[str]:
    yield title(found)
    yield ""
    if found.paths:
        yield from formulas(found.paths)
        yield ""
        names = ["path", "lag", "norm", "share"] + ["value"] * (found.gradient.size <= MOST_PRINTED)
        rows = [_row(found, number, path)[: len(names)] for number, path in enumerate(found.paths, 1)]
        yield from _table(names, rows)
        yield ""
    elif found.count:
        yield f"More than --max-paths {found.most}: not listed one by one; each sum is exact all the same."
        if found.graph.wrt.kind in WEIGHTS:
            yield f"Paths of lag k: {law(found.graph)}"
        yield ""
    else:
        yield "No path: what comes after the loss cannot change it."
        yield ""
    if factors:
        yield from _factors(found)
    rows = [[str(g.layer), str(g.lag), f"{g.count:,}", *_size(found, g)] for g in found.groups]
    yield from _table(["layer", "lag", "paths", "norm", "share"], rows)
    yield ""
    if states:
        rows = [
            [found.notation.state(s.layer), str(s.lag), f"{s.count:,}", f"{s.norm:.6g}"] for s in found.states
        ]
        yield from _table(["state", "lag", "paths", "norm of dE/dh"], rows)
        yield ""
    yield f"{_gradient_sign(found)}, norm {np.linalg.norm(found.gradient):.6g}{_value(found.gradient, ' = ')}"
    yield verdict(found)


def _gradient_sign(found: Derivation) -> str:
    return found.notation.factor(found.graph.loss, found.graph.ends()[0])


def _row(found: Derivation, number: int, path: Path) -> list[str]:
    return [str(number), str(path.lag), *_size(found, path), _value(path.value)]


def _size(found: Derivation, part: Path | Group) -> list[str]:
    share = found.share(part)
    return [f"{part.norm:.6g}", "-" if share is None else f"{100 * share:.2f} %"]


def _value(value: Array, before: str = "") -> str:
    if value.size > MOST_PRINTED:
        return ""
    digits: Any = {"float_kind": "{:.5g}".format}
    return before + " ".join(np.array2string(value, separator=", ", formatter=digits).split())


def _table(names: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Columns under their names: numbers to the right, the last one of text to the left."""
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for row in [names, *rows]:
        cells = [
            text.ljust(width) if name == "value" else text.rjust(width)
            for name, text, width in zip(names, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _factors(found: Derivation) -> Iterator[str]:
    """Every partial derivative that occurs on a listed path, once, with its numbers."""
    seen = {factor.text: factor for path in found.paths for factor in path.factors}
    for text, factor in seen.items():
        matrix = factor.matrix
        yield f"{text} = {_value(matrix)}" if matrix.size <= MOST_PRINTED else f"{text}: {matrix.shape}"
    yield ""


def _path_json(found: Derivation, path: Path) -> dict[str, Any]:
    signs = {"text": path.text, "latex": path.latex, "factors": [factor.text for factor in path.factors]}
    return signs | _term_json(found, path)


def _term_json(found: Derivation, part: Path | Group) -> dict[str, Any]:
    return {
        "lag": part.lag,
        "norm": part.norm,
        "share": found.share(part),
        "value": _array(part.value) if found.gradient.size <= MOST_IN_JSON else None,
    }


def _state_json(state: StateGradient) -> dict[str, Any]:
    return {"layer": state.layer, "lag": state.lag, "count": state.count, "norm": state.norm}


def _array(value: Array) -> Any:
    return value.tolist() if value.size <= MOST_IN_JSON else None


def _numbers(found: Derivation) -> int:
    arrays = [found.network.Wy, *(a for weights in found.network.layers for a in weights[:4])]
    return sum(a.size for a in arrays if a is not None)
