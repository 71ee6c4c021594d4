"""How many paths there are: listed, walked and by formula; a path by its number."""

from math import comb
from typing import Any

import pytest

from backtime import UsageError
from backtime.insight import paths
from backtime.insight.derivation import enumeration
from backtime.insight.derivation.counting import count_by_walking, count_to, law
from backtime.insight.drawing.text import text_report, to_json
from backtime.insight.unfolded.graph import Graph, Wrt
from derived_cells import cells


@cells
def test_three_ways_of_counting(cell: str, options: dict[str, Any]) -> None:
    for L, at, layer in ((1, 1, 1), (1, 4, 1), (2, 3, 1), (2, 3, 2), (3, 3, 1), (3, 3, 2)):
        kinds = [("Wx", None), ("Wh", None), ("bx", None), ("bh", None), ("h0", None), ("c0", None)]
        steps = [("x", s) for s in range(1, at + 1)] if layer == 1 else []
        for kind, at_step in kinds + steps:
            if kind == "c0" and cell != "lstm":
                continue
            graph = Graph(cell, L, at, Wrt(kind, layer, at_step))
            walked = count_by_walking(graph)
            for end in graph.ends():
                listed = list(enumeration.routes_to(graph, end))
                assert len(listed) == len(set(listed)) == walked[end] == count_to(graph, end)


def test_the_rnn_counts_by_one_binomial() -> None:
    graph = Graph("rnn", 7, 100, Wrt("Wx", 3))
    walked = count_by_walking(graph)
    for end in graph.ends():
        lag = 100 - end.step
        assert walked[end] == count_to(graph, end) == comb(lag + 4, 4)
    assert sum(count_to(graph, end) for end in graph.ends()) == comb(104, 5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_counts_of_many_layers_and_steps(cell: str) -> None:
    for layer in (1, 3):
        graph = Graph(cell, 4, 60, Wrt("Wh", layer))
        walked = count_by_walking(graph)
        assert all(walked[end] == count_to(graph, end) for end in graph.ends())


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_too_many_to_list(cell: str) -> None:
    found = paths(cell, "Wh", layers=4, steps=40, hidden_size=5)
    assert found.count > 10_000 and found.paths == [] and len(found.groups) == 40
    assert found.adds_up and sum(group.count for group in found.groups) == found.count
    assert "The 40 groups add up" in text_report(found)
    if cell != "lstm":
        closed = (
            law(found.graph).replace("C(k + 3, 3)", "comb(k + 3, 3)").replace("^", "**").replace(" 4", "*4")
        )
        for group in found.groups:
            assert eval(closed.replace(" 3**", "*3**"), {"comb": comb, "k": group.lag}) == group.count
    assert found.first(3)[0].lag == 0  # and the first few can be had all the same
    assert to_json(found)["paths"] == [] and to_json(found)["count"] == found.count


def test_max_paths_is_the_largest_number_listed() -> None:
    assert len(paths("rnn", max_paths=3).paths) == 3 and paths("rnn", max_paths=2).paths == []
    assert paths("rnn", max_paths=0).paths == []


def test_a_path_by_its_number() -> None:
    for cell in ("rnn", "gru", "lstm"):
        found = paths(cell, "Wh", layers=2, steps=3, hidden_size=1, max_paths=10_000)
        assert [found.number(k + 1).nodes for k in range(found.count)] == [path.nodes for path in found.paths]
    large = paths("lstm", "Wh", layers=4, steps=40)
    assert large.number(large.count).lag == 39 and large.number(10**12).norm > 0
    for number in (0, large.count + 1):
        with pytest.raises(UsageError, match=f"path is {number}"):
            large.number(number)
