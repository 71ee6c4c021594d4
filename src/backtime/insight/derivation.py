"""``paths``: every path of backpropagation through time from a loss to a parameter."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.insight.backpropagation import gradient_by_backpropagation
from backtime.insight.counting import count_to
from backtime.insight.enumeration import Route, routes
from backtime.insight.graph import Graph, Node, Wrt
from backtime.insight.network import Network, check_whole, random_network
from backtime.insight.notation import SYMBOLIC, Notation, parse_names
from backtime.insight.partials import Partial, Use, Values
from backtime.insight.terms import Term, gradients, shape_of, term_of
from backtime.reference.weights import Array

TOLERANCE = 1e-12  # of the largest entry: some thousand roundings, for products of dozens of factors and their sum
MOST_PATHS = 100  # that are listed


@dataclass(frozen=True)
class Factor:
    """One partial derivative on a path."""

    text: str  # dS_{t+1}/dS_t
    latex: str
    local: Partial | Use

    @property
    def matrix(self) -> Array:
        """The Jacobian; of a weight, row k is the derivative of unit k by its own row of the weight."""
        return self.local.matrix()


@dataclass(frozen=True)
class Path:
    """One product of partial derivatives, from the loss to one use of the parameter."""

    nodes: Route
    lag: int  # steps from the loss back to the use
    factors: list[Factor]
    term: Term

    @property
    def value(self) -> Array:
        """The product, in the shape of the parameter."""
        return self.term.value

    @property
    def norm(self) -> float:
        """Its Frobenius norm."""
        return self.term.norm

    @property
    def text(self) -> str:
        """The product as text."""
        return " ".join(factor.text for factor in self.factors)

    @property
    def latex(self) -> str:
        """The product as LaTeX."""
        return " ".join(factor.latex for factor in self.factors)


@dataclass(frozen=True)
class Group:
    """All paths to the use of the parameter in one layer at one lag, and their sum."""

    layer: int
    lag: int
    count: int
    term: Term

    @property
    def value(self) -> Array:
        """The sum of the paths, in the shape of the parameter; none of them was listed for it."""
        return self.term.value

    @property
    def norm(self) -> float:
        """Its Frobenius norm."""
        return self.term.norm


class Derivation:
    """The paths from the loss at one step to one parameter, in numbers and in signs; made by ``paths``.

    Iterate over it for the paths one at a time, those with the smallest lag first.
    """

    def __init__(self, network: Network, graph: Graph, notation: Notation, most: int) -> None:
        """Run the network forward; everything else is computed when it is asked for."""
        self.network, self.graph, self.notation, self.most = network, graph, notation, most
        self.values = Values(network, graph.at)

    @cached_property
    def count(self) -> int:
        """The number of paths, by binomial coefficients (``counting``)."""
        return sum(count_to(self.graph, end) for end in self.graph.ends())

    @cached_property
    def paths(self) -> list[Path]:
        """All paths; empty when there are more than ``max_paths``."""
        return list(self) if self.count <= self.most else []

    @cached_property
    def groups(self) -> list[Group]:
        """The paths by layer and lag, each group summed exactly by one pass over the graph."""
        arrived = gradients(self.values, self.graph)
        found = []
        for end in self.graph.ends():
            term = term_of(self.values, self.graph, end, arrived.get(end, []))
            lag = self.graph.at - end.step
            found.append(Group(self.graph.wrt.layer, lag, count_to(self.graph, end), term))
        return found

    @cached_property
    def gradient(self) -> Array:
        """The gradient by backpropagation through time, computed apart by ``backtime.reference``."""
        return gradient_by_backpropagation(self.network, self.graph.wrt, self.graph.at)

    @cached_property
    def sum(self) -> Array:
        """The sum of all terms: of the paths where they are listed, of the groups where not."""
        return self._sum(self.paths or self.groups)

    @cached_property
    def difference(self) -> float:
        """The largest difference of an entry to ``gradient``: of the paths' sum, and of the groups' sum."""
        sums = [self._sum(self.groups)] + ([self.sum] if self.paths else [])
        return max(float(np.abs(each - self.gradient).max(initial=0.0)) for each in sums)

    @property
    def allowed(self) -> float:
        """1e-12 of the largest entry of the gradient and its terms: rounding is relative to these."""
        largest = max(part.term.largest for part in [*self.paths, *self.groups])
        return TOLERANCE * max(largest, float(np.abs(self.gradient).max(initial=0.0)))

    @property
    def adds_up(self) -> bool:
        """Whether the terms add up to the gradient to 1e-12: the groups, and the paths if listed."""
        return self.difference <= self.allowed

    def share(self, part: Path | Group) -> float | None:
        """What a term contributes along the gradient: all shares add up to 1; None where the gradient is 0."""
        whole = float((self.gradient**2).sum())
        return part.term.along(self.gradient) / whole if whole else None

    def _sum(self, parts: Sequence[Path | Group]) -> Array:
        total = np.zeros(shape_of(self.values, self.graph))
        for part in parts:
            part.term.add_to(total)
        return total

    def __iter__(self) -> Iterator[Path]:
        """The paths one at a time, however many there are."""
        return map(self._path, routes(self.graph))

    def first(self, number: int) -> list[Path]:
        """The first ``number`` paths, or all when there are fewer."""
        return list(islice(self, number))

    def _path(self, nodes: Route) -> Path:
        v = np.ones(1)
        factors: list[Factor] = []
        for node, source in pairwise(nodes):
            local: Partial | Use
            if source.letter in ("Wx", "Wh", "bx", "bh"):
                local = self.values.use(node, source.letter)
            else:
                local = self.values.partial(node, source)
            if source != nodes[-1]:
                v = local.back(v)
            signs = self.notation
            factors.append(
                Factor(signs.factor(node, source), signs.latex_factor(node, source), local)
            )
        term = term_of(self.values, self.graph, nodes[-1], [(nodes[-2], v)])
        return Path(nodes, self.graph.at - nodes[-1].step, factors, term)


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
        raise UsageError("the gradient is not finite: its numbers overflow; expected smaller weights or fewer steps")
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
        raise UsageError(f"wrt is {wrt!r}; expected x_ and a step from {notation.step(1)} to {notation.step(T)}")
    return named[name]
