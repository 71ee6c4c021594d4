"""The paths from a loss to a parameter, in signs and in numbers, and whether they add up to the gradient."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice, pairwise

import numpy as np

from backtime.errors import UsageError
from backtime.insight.derivation.counting import count_by_walking, count_to
from backtime.insight.derivation.enumeration import Route, route_number, routes
from backtime.insight.derivation.records import Factor, Group, Path, StateGradient
from backtime.insight.derivation.terms import gradients, shape_of, term_of, total_at
from backtime.insight.unfolded.backpropagation import gradient_by_backpropagation
from backtime.insight.unfolded.graph import WEIGHTS, Graph, Node
from backtime.insight.unfolded.network import Network
from backtime.insight.unfolded.notation import Notation
from backtime.insight.unfolded.partials import Partial, Values
from backtime.reference.weights import Array

TOLERANCE = 1e-12  # of the largest entry: room for some thousand roundings, in the factors and the sum
TINY = float(np.finfo(np.float64).tiny)


class Derivation:
    """The paths from the loss at one step to one parameter, in numbers and in signs; made by ``paths``.

    Iterate over it for the paths one at a time, those with the smallest lag first.
    """

    def __init__(self, network: Network, graph: Graph, notation: Notation, most: int) -> None:
        """Run the network forward; everything else is computed when it is asked for."""
        self.network, self.graph, self.notation, self.most = network, graph, notation, most
        self.values = Values(network, graph.at)
        self._factors: dict[tuple[Node, Node], Factor] = {}

    @cached_property
    def count(self) -> int:
        """The number of paths, by binomial coefficients (``counting``)."""
        return sum(count_to(self.graph, end) for end in self.graph.ends())

    @cached_property
    def paths(self) -> list[Path]:
        """All paths; empty when there are more than ``max_paths``."""
        return list(self) if self.count <= self.most else []

    @cached_property
    def states(self) -> list[StateGradient]:
        """dE/dh of every layer and step, by layer from the top and lag, each with its number of paths."""
        graph, counts, found = self.graph, count_by_walking(self.graph), []
        for layer in range(graph.layers, 0, -1):
            for lag in range(graph.at):
                node = Node("h", layer, graph.at - lag)
                value = total_at(self.values, node, self._arrived[node])
                found.append(StateGradient(layer, lag, counts[node], value))
        return found

    @cached_property
    def groups(self) -> list[Group]:
        """The paths by layer and lag, each group summed exactly by one pass over the graph."""
        found = []
        for end in self.graph.ends():
            term = term_of(self.values, self.graph, end, self._arrived.get(end, []))
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

    @cached_property
    def allowed(self) -> float:
        """1e-12 of the largest entry of the gradient and its terms: rounding is relative to these.

        And the smallest normal number, below which it no longer is.
        """
        parts: list[Path | Group] = [*self.paths, *self.groups]
        largest = max(part.term.largest for part in parts)
        return TOLERANCE * max(largest, float(np.abs(self.gradient).max(initial=0.0))) + TINY

    @property
    def adds_up(self) -> bool:
        """Whether the terms add up to the gradient to 1e-12: the groups, and the paths if listed."""
        return self.difference <= self.allowed

    def number(self, number: int) -> Path:
        """The path that comes as number 1, 2, ..., without those before it; ``UsageError`` where none is."""
        if not 1 <= number <= self.count:
            raise UsageError(f"path is {number}; expected a number from 1 to {self.count:,}")
        return self._path(route_number(self.graph, number))

    def share(self, part: Path | Group) -> float | None:
        """What a term contributes along the gradient, all together 1; None where the gradient is 0."""
        whole = float((self.gradient**2).sum())
        return part.term.along(self.gradient) / whole if whole else None

    @cached_property
    def _arrived(self) -> dict[Node, list[tuple[Node, Array]]]:
        return gradients(self.values, self.graph)

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
        factors = [self._factor(node, source) for node, source in pairwise(nodes)]
        v: Array = np.ones(1)  # dE/dE
        for local in (factor.local for factor in factors[:-1]):
            v = local.back(v) if isinstance(local, Partial) else v  # a use is the last factor, if any
        term = term_of(self.values, self.graph, nodes[-1], [(nodes[-2], v)])
        return Path(nodes, self.graph.at - nodes[-1].step, factors, term)

    def _factor(self, node: Node, source: Node) -> Factor:
        """The partial derivative on an edge; edges are few where paths are many, so it is kept."""
        if (node, source) not in self._factors:
            text, latex = self.notation.factor(node, source), self.notation.latex_factor(node, source)
            weight = source.letter in WEIGHTS
            local = self.values.use(node, source.letter) if weight else self.values.partial(node, source)
            self._factors[node, source] = Factor(text, latex, local)
        return self._factors[node, source]
