"""All paths from the loss to the uses of a parameter, one after the other."""

from collections.abc import Iterator

from backtime.insight.unfolded.graph import Graph, Node

Route = tuple[Node, ...]


def routes(graph: Graph) -> Iterator[Route]:
    """Every path as its nodes, from the loss to the end; those with the smallest lag first.

    Among paths of one lag, those that go down first come first. They are made one at a time, so that the
    first few cost little where there are billions.
    """
    for end in graph.ends():
        yield from routes_to(graph, end)


def routes_to(graph: Graph, end: Node) -> Iterator[Route]:
    """Every path from the loss to ``end``: depth first, in the order of ``graph.sources``."""
    ways = _ways_to(graph, end)  # so that no walk is in vain
    route, choices = [graph.loss], [iter(graph.sources(graph.loss))]
    while choices:
        node = next(choices[-1], None)
        if node is None:
            choices.pop()
            route.pop()
        elif node == end:
            yield (*route, end)
        elif node in ways:
            route.append(node)
            choices.append(iter(graph.sources(node)))


def route_number(graph: Graph, number: int) -> Route:
    """The path that ``routes`` gives as number 1, 2, ..., found without those before it."""
    left = number - 1
    for end in graph.ends():
        ways = _ways_to(graph, end)
        if left < ways.get(graph.loss, 0):
            return _walk(graph, end, ways, left)
        left -= ways.get(graph.loss, 0)
    raise IndexError(f"there is no path number {number}")


def _walk(graph: Graph, end: Node, ways: dict[Node, int], left: int) -> Route:
    """The path to ``end`` that has ``left`` others before it."""
    route = [graph.loss]
    while route[-1] != end:
        for source in graph.sources(route[-1]):
            if left < ways.get(source, 0):
                route.append(source)
                break
            left -= ways.get(source, 0)
    return tuple(route)


def _ways_to(graph: Graph, end: Node) -> dict[Node, int]:
    """How many paths lead from a node to ``end``; a node from which none does is not in it."""
    ways = {end: 1}
    for node in reversed(list(graph.backward_order())):
        if found := sum(ways.get(source, 0) for source in graph.sources(node)):
            ways[node] = found
    return ways
