"""The shapes of networks: which boxes there are, which arrows, and that each has its picture."""

import re
from pathlib import Path

import pytest

from backtime.errors import UsageError
from backtime.insight import network_shape
from backtime.insight.drawing.nodes import Node
from backtime.insight.drawing.shapes import SHAPES, edges, nodes

DOCS = Path(__file__).parents[1] / "docs"


def counts(name: str) -> dict[str, int]:
    found = [own.kind for own in nodes(SHAPES[name])]
    return {kind: found.count(kind) for kind in sorted(set(found))}


@pytest.mark.parametrize(
    ("name", "boxes", "up", "through_time"),
    [
        ("one-one", {"h": 1, "x": 1, "y": 1}, 2, 0),
        ("one-many", {"h": 4, "x": 1, "y": 4}, 5, 6),
        ("many-one", {"h": 4, "x": 4, "y": 1}, 5, 3),
        ("many-many", {"h": 4, "x": 4, "y": 4}, 8, 3),
        ("encoder-decoder", {"h": 6, "x": 3, "y": 3}, 6, 7),
        ("bidirectional", {"h": 8, "x": 4, "y": 4}, 16, 6),
        ("two-layer", {"h": 8, "x": 4, "y": 4}, 12, 6),
        ("deep-columns", {"h": 4, "x": 4, "y": 4, "z": 8}, 16, 3),
        ("output-recurrence", {"h": 4, "x": 4, "y": 4}, 8, 3),
    ],
)
def test_boxes_and_arrows(name: str, boxes: dict[str, int], up: int, through_time: int) -> None:
    assert counts(name) == boxes
    found = edges(SHAPES[name])
    assert len(set(found)) == len(found) == up + through_time
    assert sum(own.start.step != own.end.step for own in found) == through_time
    assert all(own.end.row > own.start.row for own in found if own.start.step == own.end.step)


def test_every_shape_is_tested_above() -> None:
    table = test_boxes_and_arrows.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert [row[0] for row in table] == list(SHAPES)


def test_directions_and_what_recurs() -> None:
    both = edges(SHAPES["bidirectional"])
    assert any(own.start == Node("h", 1, 2) and own.end == Node("h", 0, 2) for own in both)
    assert not any(own.start == Node("h", 0, 2) and own.end.step == 1 for own in both)
    assert not any(own.start.row == 1 and own.end.row == 2 for own in both)  # beside each other, not stacked
    jordan = edges(SHAPES["output-recurrence"])
    assert {own.start.kind for own in jordan if own.start.step != own.end.step} == {"y"}


@pytest.mark.parametrize("name", SHAPES)
def test_each_has_a_picture_on_the_page(name: str) -> None:
    figure = network_shape(name)
    assert len(figure.axes[0].patches) == len(nodes(SHAPES[name])) + len(edges(SHAPES[name]))
    page = (DOCS / "network-shapes.md").read_text()
    assert f"](pictures/shape-{name}.svg)" in page
    picture = (DOCS / "pictures" / f"shape-{name}.svg").read_text()
    assert picture.startswith("<?xml") and len(re.findall(r'<g id="patch_', picture)) >= len(
        figure.axes[0].patches
    )


def test_an_unknown_shape_is_one_line() -> None:
    with pytest.raises(UsageError, match="shape is 'square'; expected one of one-one, one-many"):
        network_shape("square")
