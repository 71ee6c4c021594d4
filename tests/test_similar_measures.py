"""Comparing texts: the losses, recall and correlation by their definition; what the third column says."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime import tasks
from backtime.data.pair_parts import draw_held_out
from backtime.data.scored_pairs import PairReading, ScoredPair, reading_of, target_of
from backtime.data.similar import Related, ordered
from backtime.models.similarity import in_batch_loss
from backtime.tasks.shared import scores
from backtime.tasks.similar import retrieval
from backtime.tasks.similar.kind import SimilarKind
from backtime.tasks.similar.measuring import measure
from backtime.tasks.similar.retrieval import ranks, recall
from shell import backtime
from similar_texts import SMALL, network, write_pairs

SEED_17 = 1  # with which batches of 16 of 17 pairs begin with the smaller one
pytestmark = pytest.mark.usefixtures("quick_runs")


# The losses, by the equations of models/similarity.py, in loops.


def pairs_loss(c: Any, tau: float, left_out: set[tuple[int, int]]) -> float:
    N, total = len(c), 0.0
    for i in range(N):
        row = [math.exp(c[i, j] / tau) for j in range(N) if j == i or (i, j) not in left_out]
        column = [math.exp(c[j, i] / tau) for j in range(N) if j == i or (j, i) not in left_out]
        total -= math.log(math.exp(c[i, i] / tau) / sum(row))
        total -= math.log(math.exp(c[i, i] / tau) / sum(column))
    return total / (2 * N)


def unit_vectors(seed: int, number: int = 4) -> torch.Tensor:
    drawn = torch.randn(number, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / drawn.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("left_out", [set(), {(0, 2), (3, 1)}])
def test_the_loss_of_pairs_is_that_of_the_definition(left_out: set[tuple[int, int]]) -> None:
    u, v = unit_vectors(1), unit_vectors(2)
    related = torch.zeros(4, 4, dtype=torch.bool)
    for place in left_out:
        related[place] = True
    related[1, 1] = True  # a pair itself is never left out
    found = network(temperature=0.2).loss(u, v, torch.ones(4), related)
    assert found.item() == pytest.approx(pairs_loss((u @ v.T).numpy(), 0.2, left_out), rel=1e-9)


def test_the_losses_of_scores_and_labels_are_those_of_the_definition() -> None:
    u, v, none = unit_vectors(1), unit_vectors(2), torch.zeros(4, 4, dtype=torch.bool)
    c, s = (u * v).sum(1).numpy(), np.array([0.1, 0.9, 0.5, 0])
    assert network("score").loss(u, v, torch.from_numpy(s), none).item() == pytest.approx(
        ((c - s) ** 2).mean()
    )
    y, own = np.array([1.0, 0, 0, 1]), network("label", temperature=0.1)
    p = 1 / (1 + np.exp(-10 * (c - 0.5)))
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert own.loss(u, v, torch.from_numpy(y), none).item() == pytest.approx(expected, rel=1e-6)


def test_a_batch_of_one_pair_does_not_say_what_is_a_large_loss() -> None:
    """17 pairs in batches of 16: the first step here is that of the one that is left, which costs nothing."""
    Path("some.tsv").write_text("".join(f"one {n}\tuno {n}\n" for n in range(17)))
    words = [*SMALL, "--validation-fraction", 0, "--lr", 1e-3, "--max-steps", 2, "--seed", SEED_17]
    backtime("train", "some.tsv", *words, "--log-every", 1, "--out", "run", "--quiet")
    run = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in run][:2] == [1, 2]
    assert run[0]["loss"] == 0 and run[1]["loss"] > 1


def test_one_pair_alone_has_nothing_to_be_told_from() -> None:
    z = torch.zeros(1, 1, requires_grad=True)
    loss = in_batch_loss(z, torch.ones(1, 1, dtype=torch.bool))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0 and z.grad is not None and z.grad.item() == 0


def test_what_belongs_together_is_known() -> None:
    related = Related(np.array([0, 1]), np.array([2, 3]), 5)
    found = related(np.arange(5), np.arange(5))
    assert {tuple(place) for place in np.argwhere(found).tolist()} == {(0, 2), (2, 0), (1, 3), (3, 1)}
    nothing = Related(np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    assert not nothing(np.arange(3), np.arange(3)).any()


def test_recall_is_that_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text 0 belongs to 1 and 2, 3 to 4; 5 to nobody. Whoever is as near counts as nearer."""
    likeness = np.array([
        [9, 2, 3, 5, 1, 0],  # 0: the nearest of 1 and 2 comes after 3
        [2, 9, 0, 1, 1, 0],  # 1: 0 is the nearest
        [3, 0, 9, 3, 3, 3],  # 2: 0, 3, 4 and 5 are equally near
        [5, 1, 3, 9, 8, 0],
        [1, 1, 3, 8, 9, 8],  # 4: 3 and 5 are equally near
        [0, 0, 3, 0, 8, 9],
    ])  # fmt: skip
    related = Related(np.array([0, 0, 3]), np.array([1, 2, 4]), 6)
    found = ranks(lambda some: likeness[some], related)
    assert found.tolist() == [2, 1, 4, 1, 2]
    monkeypatch.setattr(retrieval, "AT_ONCE", 12)  # two texts at once
    assert ranks(lambda some: likeness[some], related).tolist() == [2, 1, 4, 1, 2]
    assert recall(found) == {"recall_1": 0.4, "recall_5": 1.0, "recall_10": 1.0}
    assert recall(np.zeros(0, np.int64), (1,)) == {"recall_1": 0.0}


def test_a_constant_vector_finds_nothing() -> None:
    related = Related(np.array([0, 2]), np.array([1, 3]), 4)
    assert recall(ranks(lambda some: np.ones((len(some), 4)), related), (1,)) == {"recall_1": 0}


def test_spearman() -> None:
    assert scores.spearman([1, 2, 3, 4], [0.1, 0.5, 0.4, 0.9]) == pytest.approx(0.8)
    assert scores.spearman([1, 2], [3, 3]) == 0


def pair(first: str, second: str, value: str = "") -> ScoredPair:
    return ScoredPair(first, second, value, "x")


def test_scores_stand_for_cosines() -> None:
    inside = [pair("a", "b", "0.2"), pair("c", "d", "-1")]
    assert reading_of(inside, "word", "score") == PairReading("word", "score")
    assert [PairReading("word", "score").cosine(own) for own in inside] == [0.2, -1]
    beyond = [pair("a", "b", value) for value in ("1", "4", "5")]
    reading = reading_of(beyond, "char", "score")
    assert reading == PairReading("char", "score", 1, 5)
    assert [reading.cosine(own) for own in beyond] == [0, 0.75, 1] and reading.score(0.75) == 4
    assert [PairReading("word", "label").cosine(pair("a", "b", v)) for v in ("Same", "0")] == [1, 0]


@pytest.mark.parametrize(
    ("values", "column", "target"),
    [(["", ""], "auto", "pairs"), (["1", "same"], "auto", "label"), (["1", "0.5"], "auto", "score"),
     (["1", "0"], "score", "score"), (["who", "when"], "ignore", "pairs")],
)  # fmt: skip
def test_the_third_column_says_what_is_learned(values: list[str], column: str, target: str) -> None:
    assert target_of([pair("a", "b", value) for value in values], column) == target


def test_no_text_is_in_two_parts() -> None:
    draw = random.Random(3)
    pairs = [pair(f"t{draw.randrange(250)}", f"t{draw.randrange(250)}") for _ in range(100)]
    aside = draw_held_out(pairs, 0.2, 1)
    parts = [{t for own, out in zip(pairs, aside, strict=True) if bool(out) == side for t in own[:2]}
             for side in (True, False)]  # fmt: skip
    assert 10 < aside.sum() <= 20 and parts[0] and not parts[0] & parts[1]
    order = random.Random(4).sample(range(100), 100)
    again = draw_held_out([pairs[n] for n in order], 0.2, 1)
    assert (again == aside[order]).all()  # whatever the order of the lines
    assert (draw_held_out(pairs, 0.2, 2) != aside).any()
    assert not draw_held_out([pair("a", "b"), pair("b", "c"), pair("c", "d")], 0.4, 1).any()
    assert draw_held_out([pair("a", "b")], 0.9, 1).tolist() == [False]


def test_sequences_in_any_order_are_packed_and_found_again() -> None:
    records = [np.array(own, np.int64) for own in ([1], [2, 3, 4], [5, 6], [7])]
    own = network().eval()
    packed, places = ordered(records)
    together = own.vectors(torch.from_numpy(packed.rows), torch.from_numpy(packed.batch_sizes))[places]
    for n, record in enumerate(records):
        alone = own.vectors(torch.from_numpy(record), torch.ones(len(record), dtype=torch.int64))
        torch.testing.assert_close(together[n], alone[0], rtol=0, atol=1e-6)
        assert together[n].norm().item() == pytest.approx(1, abs=1e-6)


def test_the_loss_of_a_batch_leaves_out_what_is_known_to_belong(tmp_path: Path) -> None:
    """'one' stands with 'uno' and with 'eins': neither is wrong for it. 'due' stands on both sides."""
    rows = [("one", "uno"), ("one", "eins"), ("two", "due"), ("due", "zwei"), ("three", "tre")]
    Path("a.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in rows))
    settings = SimilarKind.settings(
        hidden_size=5, embedding_size=4, validation_fraction=0, word_dropout=0, batch_size=8, temperature=0.3
    )
    kind = SimilarKind()
    data = kind.prepare(Path("a.tsv"), settings, tmp_path, None, print)
    torch.manual_seed(3)
    task = kind.build(data, settings, None)
    task.model.eval()
    loss, _, count = task.loss(0, 0, None)
    task.save_model(tmp_path / "model")
    model: Any = tasks.load(tmp_path / "model")
    u, v = (model.vectors(side) for side in zip(*rows, strict=True))
    left_out = {(0, 1), (1, 0), (3, 2), (2, 2)}
    assert count == 5 and loss.item() == pytest.approx(pairs_loss(u @ v.T, 0.3, left_out), rel=1e-5)
    assert loss.item() != pytest.approx(pairs_loss(u @ v.T, 0.3, set()), rel=1e-3)


def test_measuring_does_not_depend_on_the_order_of_the_texts() -> None:
    from backtime.data.scored_pairs import read_scored
    from backtime.data.similar import NumberedPairs, count_symbols

    write_pairs("some.tsv", 1, 60)
    pairs = list(read_scored(Path("some.tsv")))
    symbols, reading = count_symbols(pairs, "word", 1), PairReading()
    own = network(symbols=len(symbols))
    found = [
        measure(own, NumberedPairs.of(part, symbols, reading), "pairs", 100) for part in (pairs, pairs[::-1])
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
