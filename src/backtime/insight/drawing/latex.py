r"""A derivation as a LaTeX document: ``pdflatex`` alone compiles it, with amsmath."""

from collections.abc import Iterator
from pathlib import Path as FilePath

import numpy as np

from backtime.files import atomic_write
from backtime.insight.derivation.derivation import Derivation
from backtime.insight.derivation.records import Path
from backtime.insight.drawing.text import verdict
from backtime.reference.weights import Array

LARGEST = 6  # rows and columns of a matrix that is printed; amsmath allows ten columns

HEAD = r"""\documentclass{article}
\usepackage{amsmath}
\setlength{\parindent}{0pt}
\setlength{\parskip}{1ex}
\raggedright
\allowdisplaybreaks
\begin{document}
"""


def latex_document(found: Derivation, path: FilePath | str) -> None:
    """Write the paths, their values and their sum to ``path``, whole or not at all."""
    text = HEAD + "\n".join(_lines(found)) + "\n\\end{document}\n"
    with atomic_write(path) as file:
        file.write(text.encode("ascii"))


def _lines(found: Derivation) -> Iterator[str]:
    graph, signs = found.graph, found.notation
    gradient = signs.latex_factor(graph.loss, graph.ends()[0])
    yield rf"\section*{{$\displaystyle {gradient}$: {_plural(found.count, 'path')}}}"
    yield f"Layer {graph.wrt.layer} of {graph.layers} ({graph.cell}), {_plural(found.network.T, 'step')}."
    for number, path in enumerate(found.paths, 1):
        yield f"\n{number}. Lag {path.lag}:"
        yield _product(path)
        yield rf"\[ = {_number(path.value, path.norm)} \]"
    yield "\n" + r"\subsection*{By lag}"
    for group in found.groups:
        yield f"\nLag {group.lag}, {_plural(group.count, 'path')}:"
        yield rf"\[ {_number(group.value, group.norm)} \]"
    yield "\n" + r"\subsection*{Sum}"
    yield rf"\[ {gradient} = {_number(found.gradient, float(np.linalg.norm(found.gradient)))} \]"
    yield verdict(found) + "."


def _product(path: Path) -> str:
    """The factors in the running text, so that a long product breaks between any two."""
    return "\n".join(rf"$\displaystyle {factor.latex}$" for factor in path.factors)


def _number(value: Array, norm: float) -> str:
    """A matrix where it is small, and its norm."""
    if max(value.shape) > LARGEST:
        shape = r" \times ".join(map(str, value.shape))
        return rf"{shape} \text{{ numbers, norm }} {_digits(norm)}"
    rows = value if value.ndim == 2 else value[None]
    inside = r" \\ ".join(" & ".join(_digits(entry) for entry in row) for row in rows)
    return rf"\begin{{bmatrix}} {inside} \end{{bmatrix}}, \quad \text{{norm }} {_digits(norm)}"


def _digits(number: float) -> str:
    mantissa, _, exponent = f"{number:.5g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
