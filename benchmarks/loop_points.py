"""The points of `own_loop`: shapes as people train them, and any number of others drawn at random."""

import random
from collections.abc import Sequence

from benchmarks.user_loop import Point

CELLS = ("RNN", "GRU", "LSTM")
KINDS = ("plain", "lengths", "both")
# B, T, H, layers, V
SHAPES = [
    (1, 100, 32, 1, 65),
    (1, 50, 128, 1, 65),
    (4, 30, 24, 2, 65),
    (8, 64, 64, 1, 65),
    (16, 50, 64, 2, 65),
    (24, 60, 96, 1, 65),
    (128, 20, 128, 1, 65),
    (50, 50, 128, 2, 65),
    (20, 20, 200, 2, 10_000),
    (32, 35, 256, 1, 2000),
    (64, 50, 256, 1, 65),
    (20, 35, 512, 1, 65),
    (16, 35, 512, 2, 2000),
    (64, 20, 1024, 1, 65),
]
SPECIAL = [(8, 64, 64, 1, 65), (32, 50, 128, 2, 65), (32, 35, 256, 1, 2000), (20, 35, 512, 1, 65)]
QUICK = [(1, 100, 32, 1, 65), (24, 60, 96, 1, 65), (50, 50, 128, 2, 65), (20, 35, 512, 1, 65)]
SEED = 1
SIZES = {  # what a random point is drawn from
    "B": (1, 2, 3, 5, 7, 10, 16, 17, 20, 33, 50, 64, 100, 200, 512),
    "T": (1, 2, 5, 10, 20, 35, 60, 100, 300),
    "H": (8, 17, 37, 50, 64, 100, 150, 200, 300, 400, 512, 650, 800, 1500),
    "layers": (1, 1, 2, 3),
    "V": (2, 10, 65, 300, 1000, 5000),
}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
MOST_DRAWN = 1000
MOST_WORK, MOST_LOGITS = 12e9, 2e7  # multiply-adds of a forward pass, some half a second a step; numbers


def name(point: Point) -> str:
    """How tables call it."""
    return f"{point.cell.lower()} {','.join(map(str, point[1:6]))}"


def listed(cells: Sequence[str], kinds: Sequence[str], quick: bool) -> list[Point]:
    """Plain ones of every cell, then those with lengths, then those with both directions."""
    plain, special = (QUICK, QUICK[1:3]) if quick else (SHAPES, SPECIAL)
    each = [(shape, "plain") for shape in plain]
    each += [(shape, kind) for kind in ("lengths", "both") for shape in special]
    return [Point(cell, *shape, kind) for cell in cells for shape, kind in each if kind in kinds]


def drawn(number: int, cells: Sequence[str], kinds: Sequence[str]) -> list[Point]:
    """So many different points that nobody has chosen; too large ones are drawn again."""
    draw, found = random.Random(SEED), dict[Point, None]()
    while len(found) < number:
        shape = [draw.choice(sizes) for sizes in SIZES.values()]
        point = Point(draw.choice(cells), *shape, draw.choice(kinds))
        if point.B * point.T * point.V <= MOST_LOGITS and _work(point) <= MOST_WORK:
            found[point] = None
    return sorted(found, key=lambda point: (cells.index(point.cell), kinds.index(point.kind), _work(point)))


def _work(point: Point) -> float:
    """Multiply-adds of a forward pass, as if every layer read H numbers."""
    layers = 2 * GATES[point.cell] * point.H * point.layers * (1 + (point.kind == "both"))
    return point.B * point.T * point.H * (layers + point.V)
