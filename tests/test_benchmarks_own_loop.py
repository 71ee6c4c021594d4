"""The points of the training loop that `own_loop` measures, and what it makes of their times."""

import subprocess
import sys
from typing import Any

import pytest
from benchmarks import ceiling, own_loop, user_loop
from benchmarks.loop_points import CELLS, KINDS, MOST_LOGITS, SHAPES, drawn, listed
from benchmarks.user_loop import Point

POINT = Point("LSTM", 8, 64, 64, 1, 65)


def test_the_listed_points_are_of_every_cell_and_kind() -> None:
    points = listed(CELLS, KINDS, quick=False)
    assert len(points) == len(set(points)) and {(p.cell, p.kind) for p in points} == {
        (cell, kind) for cell in CELLS for kind in KINDS
    }
    assert [p[1:6] for p in listed(("GRU",), ("plain",), quick=False)] == SHAPES


def test_points_are_drawn_without_a_choice() -> None:
    points = drawn(40, CELLS, KINDS)
    assert len(set(points)) == 40 and points == drawn(40, CELLS, KINDS)
    assert {p.cell for p in points} == set(CELLS) and {p.kind for p in points} == set(KINDS)
    assert all(p.B * p.T * p.V <= MOST_LOGITS for p in points)
    assert {p.kind for p in drawn(5, ("RNN",), ("both",))} == {"both"}


def test_the_summary_is_over_the_same_cell_and_kind() -> None:
    def sides(torch: float, ours: float) -> dict[str, dict[str, Any]]:
        return {"torch": dict.fromkeys(own_loop.KEYS, torch), "backtime": dict.fromkeys(own_loop.KEYS, ours)}

    times = {POINT: sides(8, 2), POINT._replace(T=5): sides(1, 1), POINT._replace(kind="both"): sides(3, 2)}
    *_, plain, both = own_loop.summary(times).splitlines()
    assert [cell.strip() for cell in plain.split("|")[1:5]] == ["LSTM plain", "2", "2.00", "2.00"]
    assert plain.split("|")[5].strip() == "1.00" and both.split("|")[5].strip() == "1.50"
    assert [line[0] for line in own_loop.rows(times, "both")] == ["lstm 8,64,64,1,65"]


def test_a_side_that_trains_another_model_is_refused() -> None:
    with pytest.raises(SystemExit, match="losses of backtime"):
        own_loop.check(POINT, {"torch": [2.0, 1.9], "backtime": [2.0, 1.8]})


RANDOM = [("--random", number, "1 to 1000") for number in ("0", "-3", "100000")]
ROUNDS = [("--rounds", number, "from 1") for number in ("0", "-1")]


@pytest.mark.parametrize(("option", "number", "expected"), RANDOM + ROUNDS)
def test_a_number_that_makes_no_sense_is_refused(
    option: str,
    number: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["own_loop", option, number])
    with pytest.raises(SystemExit):
        own_loop.main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{option} is {number}; expected" in last and expected in last


def test_title_and_plot_say_under_which_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["own_loop", "--busy", "--threads", "1", "--random", "3", "--quick"])
    args = own_loop.arguments()
    assert (args.rounds, args.seconds) == (1, 1.0)
    assert own_loop.conditions(args) == (
        ", a process spinning on each core, torch.set_num_threads(1) on both sides"
        ", shapes drawn at random (seed 1)"
    )
    assert own_loop.plot_name(args, "avx2") == "own_loop-avx2-busy-1-random"


@pytest.mark.slow
def test_a_drawn_point_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(own_loop, "drawn", lambda *_: [Point("GRU", 2, 5, 8, 1, 10, "lengths")])
    monkeypatch.setattr("sys.argv", ["own_loop", "--random", "1", "--rounds", "1", "--seconds", "0.05"])
    own_loop.main()
    shown = capsys.readouterr().out
    assert "shapes drawn at random (seed 1)" in shown and "gru 2,5,8,1,10" in shown


def test_the_ceiling_is_that_of_a_layer_at_the_peak() -> None:
    point = Point("LSTM", 10, 20, 100, 2, 65, "both")
    # forward, two directions: 4 gates of 100 units, from 100 and then 200 numbers, and from 100 of h
    forward = 2 * 2 * 4 * 100 * (200 + 300) * 200
    assert ceiling.gflop(point, 200) == pytest.approx(3 * forward / 1e9)
    ours = {"ms": 20.0, "inside": 12.0, "rows": 200, "peak": 3 * forward / 1e9 / 6e-3}  # 6 ms at the peak
    row, ratio, most = ceiling.line(point, 28.0, ours)
    assert ratio == pytest.approx(1.4) and most == pytest.approx(28 / (8 + 6)) and row[5] == "50%"


def test_no_side_loads_the_library_of_another() -> None:
    seen = "import sys, benchmarks.user_loop; print('torch' in sys.modules, 'backtime' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["True", "False"]


@pytest.mark.slow
def test_the_layer_takes_a_part_of_the_step() -> None:
    inside = user_loop.run_inside(user_loop.Loop(Point("LSTM", 4, 10, 16, 1, 10, "lengths"), "backtime"), 0.1)
    assert 0 < inside["inside"] < inside["ms"] and 4 * 2 <= inside["rows"] <= 40 and inside["peak"] > 0
