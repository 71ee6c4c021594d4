"""How many paths there are: by walking the graph once, and in closed form by binomial coefficients.

A path from ``h`` of layer L at step t to layer l at step t - k goes down d = L - l times and back in time k
steps, in any order. In the rnn that is all, and there are C(k + d, d) of them. In the gru a step back has 4
ways (through r, z or n, or along the line ``z * h``) and a step down has 3. In the lstm a stay in the cell
line may lie between any two moves: with x standing for a step back,

    A(x) = 4 + 3 x + 3 x^2 + ... = 1 + 3 / (1 - x)

counts the ways from an ``h`` to a gate by the number of steps that the cell line takes.
docs/gradient-through-time.md derives this.
"""

from collections import defaultdict
from math import comb

from backtime.insight.unfolded.graph import Graph, Node


def count_by_walking(graph: Graph) -> dict[Node, int]:
    """The number of paths from the loss to each node: the sum over all that is computed from it."""
    count: dict[Node, int] = defaultdict(int)
    count[graph.loss] = 1
    for node in graph.backward_order():
        for source in graph.sources(node) if count[node] else ():
            count[source] += count[node]
    return count


def count_to(graph: Graph, end: Node) -> int:
    """The number of paths from the loss to ``end``, one of ``graph.ends()``, in closed form."""
    cell, d = graph.cell, graph.layers - graph.wrt.layer
    if end.letter == "c":  # from every h of the layer its cell line leads here, once
        return sum(_to_state(cell, d, k) for k in range(graph.at))
    if end.letter == "h":  # the last move is the step back into the first state
        ways = _to_gates(cell, d, graph.at - 1)
        return ways + (_to_state(cell, d, graph.at - 1) if cell == "gru" else 0)
    return _to_gates(cell, d, graph.at - end.step) if end.step <= graph.at else 0


def law(graph: Graph) -> str:
    """The closed form for the paths that end at a weight, in the letter k of the lag."""
    d = graph.layers - graph.wrt.layer
    if graph.cell == "lstm":
        orders = f"C(b + {d}, {d}) " if d else ""
        return f"sum over b of {orders}[x^(k - b)] A^(b + {d + 1}), A = (4 - x) / (1 - x)"
    orders, ways = f"C(k + {d}, {d})" if d else "", f"4^k 3^{d + 1}" if graph.cell == "gru" else ""
    return " ".join(filter(None, (orders, ways))) or "1"


def _to_state(cell: str, d: int, k: int) -> int:
    """Paths to ``h``, d layers down and k steps back."""
    if cell == "lstm":
        return sum(comb(b + d, d) * _cell_line(b + d, k - b) for b in range(k + 1))
    back, down = {"rnn": (1, 1), "gru": (4, 3)}[cell]
    return comb(k + d, d) * int(back**k * down**d)


def _to_gates(cell: str, d: int, k: int) -> int:
    """Paths to all gates together, d layers down and k steps back; in the rnn ``h`` is its own gate."""
    if cell == "lstm":
        return sum(comb(b + d, d) * _cell_line(b + d + 1, k - b) for b in range(k + 1))
    return _to_state(cell, d, k) * (3 if cell == "gru" else 1)


def _cell_line(n: int, m: int) -> int:
    """The coefficient of x^m in A(x)^n: n ways from an ``h`` to a gate, m steps along cell lines in all."""
    if m == 0:
        return int(4**n)
    return sum(comb(n, j) * int(3**j) * comb(j - 1 + m, m) for j in range(1, n + 1))
