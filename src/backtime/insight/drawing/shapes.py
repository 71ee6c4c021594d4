"""The shapes of recurrent networks: which steps have inputs and outputs, and what is above what. As pictures.

>>> from backtime.insight import network_shape
>>> network_shape("many-one").savefig("many-one.svg")
"""

from dataclasses import dataclass
from typing import Any

from backtime.errors import UsageError
from backtime.insight.drawing.nodes import Edge, Node

FORWARD, BACKWARD, ACROSS = "forward", "backward", "column"


@dataclass(frozen=True)
class Shape:
    """A network over ``steps`` steps; ``layers``, bottom up, go forward, backward or nowhere in time.

    - ``inputs``, ``outputs``: the steps that have one
    - ``fed_back``: whether an output is the input of the step after it
    - ``output_recurs``: whether what goes from step to step is the output, not the state
    """

    title: str
    steps: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    layers: tuple[str, ...] = (FORWARD,)
    fed_back: bool = False
    output_recurs: bool = False


FOUR = (0, 1, 2, 3)
SHAPES = {
    "one-one": Shape("one to one: a layer over one step", 1, (0,), (0,)),
    "one-many": Shape("one to many", 4, (0,), FOUR, fed_back=True),
    "many-one": Shape("many to one", 4, FOUR, (3,)),
    "many-many": Shape("many to many, aligned", 4, FOUR, FOUR),
    "encoder-decoder": Shape("many to many, encoder and decoder", 6, (0, 1, 2), (3, 4, 5), fed_back=True),
    "bidirectional": Shape("both directions", 4, FOUR, FOUR, (FORWARD, BACKWARD)),
    "two-layer": Shape("two layers", 4, FOUR, FOUR, (FORWARD, FORWARD)),
    "deep-columns": Shape("output layers above one that recurs", 4, FOUR, FOUR, (FORWARD, ACROSS, ACROSS)),
    "output-recurrence": Shape("the output recurs", 4, FOUR, FOUR, output_recurs=True),
}


def nodes(shape: Shape) -> list[Node]:
    """Every box."""
    top = len(shape.layers) + 1
    found = [Node("x", t, 0) for t in shape.inputs]
    for row, kind in enumerate(shape.layers, 1):
        found += [Node("z" if kind == ACROSS else "h", t, row) for t in range(shape.steps)]
    return found + [Node("y", t, top) for t in shape.outputs]


def edges(shape: Shape) -> list[Edge]:
    """Every arrow: up from box to box, and from step to step."""
    there = {(own.step, own.row): own for own in nodes(shape)}
    both, top = BACKWARD in shape.layers, len(shape.layers) + 1
    found = []
    for step in range(shape.steps):
        for row in range(1, top + 1):
            lower = _below(row, both, top)
            found += [
                Edge(there[step, own], there[step, row])
                for own in lower if {(step, own), (step, row)} <= there.keys()
            ]  # fmt: skip
        found += _onward(shape, there, step)
    return found


def _below(row: int, both: bool, top: int) -> tuple[int, ...]:
    """The rows that a row reads; two directions read the same input, and the output reads both."""
    if not both:
        return (row - 1,)
    return (1, 2) if row == top else (0,)


def _onward(shape: Shape, there: dict[tuple[int, int], Node], step: int) -> list[Edge]:
    """From a step to the one after it, or before it."""
    if step + 1 == shape.steps:
        return []
    found, top = [], len(shape.layers) + 1
    for row, kind in enumerate(shape.layers, 1):
        here, after = there[step, row], there[step + 1, row]
        if kind == BACKWARD:
            found.append(Edge(after, here))
        elif kind == FORWARD and not shape.output_recurs:
            found.append(Edge(here, after))
    if (step, top) in there and (shape.fed_back or shape.output_recurs):
        found.append(Edge(there[step, top], there[step + 1, 1]))
    return found


def network_shape(name: str) -> Any:
    """The picture of one of ``SHAPES``, as a matplotlib ``Figure``.

    Raises ``UsageError`` where there is no such shape or no matplotlib.
    """
    if name not in SHAPES:
        raise UsageError(f"shape is {name!r}; expected one of {', '.join(SHAPES)}")
    try:
        from backtime.insight.drawing.boxes import drawn_boxes
    except ModuleNotFoundError as error:
        raise UsageError("a picture needs matplotlib: pip install matplotlib") from error
    shape = SHAPES[name]
    return drawn_boxes(shape.title, nodes(shape), edges(shape))
