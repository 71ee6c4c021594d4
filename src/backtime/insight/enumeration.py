"""All paths from the loss to the uses of a parameter, one after the other."""

from collections.abc import Iterator

from backtime.insight.graph import Graph, Node

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
    useful = _leading_to(graph, end)
    route, choices = [graph.loss], [iter(graph.sources(graph.loss))]
    while choices:
        node = next(choices[-1], None)
        if node is None:
            choices.pop()
            route.pop()
        elif node == end:
            yield (*route, end)
        elif node in useful:
            route.append(node)
            choices.append(iter(graph.sources(node)))


def _leading_to(graph: Graph, end: Node) -> set[Node]:
    """The nodes from which ``end`` can be reached, so that no walk is in vain."""
    useful = {end}
    for node in reversed(list(graph.backward_order())):
        if any(source in useful for source in graph.sources(node)):
            useful.add(node)
    return useful
