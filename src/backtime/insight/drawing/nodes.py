"""Boxes of a picture and arrows between them."""

from typing import NamedTuple


class Node(NamedTuple):
    """A box: ``kind`` is x, h, z (an output layer) or y; ``row`` counts from the inputs up."""

    kind: str
    step: int
    row: int


class Edge(NamedTuple):
    """An arrow."""

    start: Node
    end: Node
