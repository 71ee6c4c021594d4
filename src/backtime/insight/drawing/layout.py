"""Where the nodes of an unfolded network stand in its picture: layers are rows, steps are columns."""

from typing import NamedTuple

from backtime.insight.unfolded.graph import WEIGHTS, Node

Place = tuple[float, float]


class CellLayout(NamedTuple):
    """The nodes inside a cell, from its centre, and how far apart the cells stand."""

    width: float
    height: float
    places: dict[str, Place]
    weight: Place  # of a weight, from the gate that uses it


CELLS = {
    "rnn": CellLayout(2.4, 2.2, {"h": (0, 0)}, (-0.78, -0.9)),
    "gru": CellLayout(
        5.0, 4.6, {"h": (1.5, 1.3), "n": (-0.1, 0.45), "z": (1.5, -0.8), "r": (-1.5, -0.8)}, (-0.5, -0.95)
    ),
    "lstm": CellLayout(
        6.0,
        4.9,
        {
            "h": (1.9, 1.55),
            "c": (-0.2, 0.75),
            "i": (-1.9, -0.85),
            "f": (-0.75, -0.85),
            "g": (0.4, -0.85),
            "o": (1.9, -0.85),
        },
        (-0.45, -1.0),
    ),
}
ABOVE = 1.7  # from y to E, and from the last layer to y beyond half a cell


class Layout:
    """The places of all nodes of ``layers`` layers over ``steps`` steps."""

    def __init__(self, cell: str, layers: int, steps: int) -> None:
        """Columns are steps 1 to ``steps``, the first state stands before them."""
        self.cell, self.layers, self.steps = CELLS[cell], layers, steps

    def place(self, node: Node, gate: Node | None = None) -> Place:
        """The place of a node; of a weight, beside the ``gate`` that uses it."""
        letter, layer, step = node
        if gate is not None and letter in WEIGHTS:
            (x, y), (right, up) = self.place(gate), self.cell.weight
            return x + right, y + up
        right, up = self.cell.places["h"]
        x = step * self.cell.width
        if letter in ("E", "y"):
            return x + right, self._row(self.layers) + up + ABOVE * (2 if letter == "E" else 1)
        if letter == "x":
            return x, self._row(1) - self.cell.height / 2 - 0.6
        right, up = self.cell.places[letter]
        return x + right, self._row(layer) + up

    def box(self, layer: int, step: int) -> tuple[Place, float, float]:
        """The lower left corner, width and height of the frame of a cell."""
        width, height = self.cell.width * 0.84, self.cell.height * 0.8
        return (step * self.cell.width - width / 2, self._row(layer) - height / 2), width, height

    def limits(self) -> tuple[Place, Place]:
        """The lower left and upper right corners of the picture."""
        left = min(self.place(Node(letter, 1, 0))[0] for letter in ("h", "c") if letter in self.cell.places)
        right, top = self.place(Node("E", 0, self.steps))
        return (left - 1.7, self.place(Node("x", 0, 0))[1] - 1.0), (right + 2.0, top + 0.5)

    def _row(self, layer: int) -> float:
        return layer * self.cell.height
