"""``backtime bench memory``: how far each cell and remedy gets, the table, the files, what is refused."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from backtime import UsageError
from backtime.cli.main import main
from backtime.long_dependencies import saving, survey, table, trial
from backtime.long_dependencies.survey import Plan, Row, Survey
from backtime.long_dependencies.trial import Outcome, Trial


def never() -> bool:
    return False


# A survey, with trials that are made up: what is solved follows from the cell and the remedy.

REACHES = {("rnn", "none"): 0, ("rnn", "clip"): 10, ("lstm", "none"): 20, ("lstm", "clip"): 40}


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, str]]:
    """The trials that were asked for."""
    asked: list[tuple[int, str, str]] = []

    def run(own: Trial, stopped: Any) -> Outcome:
        if stopped():
            return Outcome()
        asked.append((own.delay, own.cell, own.remedy.name))
        solved = own.delay <= REACHES[own.cell, own.remedy.name]
        return Outcome("solved" if solved else "not solved", 0.0005 if solved else 0.1, 7, 0.5, [(7, 0.1)])

    monkeypatch.setattr(trial, "run", run)
    return asked


PLAN = {"cells": "rnn,lstm", "remedies": "none,clip,forget-bias", "delays": "10,20,40"}
WORDS = ["bench", "memory", *(word for name, value in PLAN.items() for word in (f"--{name}", value))]
WORDS[WORDS.index("none,clip,forget-bias")] = "none,clip"


def test_a_survey_goes_on_as_far_as_each_pair_does(made_up: list[Any]) -> None:
    REACHES["lstm", "forget-bias"] = 40
    found = survey.survey(Plan(**PLAN), never, lambda row: None)
    assert not found.cut
    assert made_up[:5] == [(10, *pair) for pair in REACHES] and len(made_up) == 5 + 4 + 3
    assert table.table(found) == [
        ["remedy", "rnn", "lstm"],
        ["none", "< 10", "20"],
        ["clip", "10", "40 +"],
        ["forget-bias", "-", "40 +"],
    ]
    caption = table.caption(found)
    assert (
        "mean squared error below 0.001 (chance 0.167)" in caption and "the longest that was tried" in caption
    )
    assert "not tried further" not in caption


def test_what_was_not_tried_is_said(made_up: list[Any]) -> None:
    found = survey.survey(
        Plan(**PLAN | {"remedies": "none,clip"}), lambda: len(made_up) == 6, lambda row: None
    )
    assert found.cut == "interrupt" and len(found.rows) == 6
    assert [row[1:] for row in table.table(found)[1:]] == [["< 10", "20 ?"], ["10", "10 ?"]]
    assert table.entry(Survey(Plan(**PLAN)), "rnn", "none") == "?"


def test_minutes_end_a_survey(made_up: list[Any]) -> None:
    found = survey.survey(Plan(**PLAN, minutes=1e-9), never, lambda row: None)
    assert found.cut == "minutes" and not found.rows


def test_the_verb_prints_and_writes(
    made_up: list[Any], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(WORDS) == 0 and main([*WORDS, "--quiet"]) == 0
    told = capsys.readouterr()
    assert told.err.count("\n") == 9 and "adding T = 10, rnn, none: not solved" in told.err
    assert "clip    10    40 +" in told.out and "written: memory-adding-1/memory.json" in told.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memory-adding-1", "memory-adding-2"]
    found = json.loads((tmp_path / "memory-adding-1" / "memory.json").read_text())
    assert found["settings"]["delays"] == [10, 20, 40] and len(found["trials"]) == 9
    assert {"cell": "rnn", "remedy": "clip", "solved": 10, "failed": 20} in found["reach"]
    assert (tmp_path / "memory-adding-1" / "memory.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in (tmp_path / "memory-adding-1" / "memory.svg").read_bytes()


def test_json_is_one_object_and_no_file(
    made_up: list[Any], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["cut"] == "" and not told.err and not list(tmp_path.iterdir())


def test_ctrl_c_keeps_what_is_there(
    made_up: list[Any], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trial.run

    def interrupted(own: Trial, stopped: Any) -> Outcome:
        if len(made_up) == 3:
            signal.raise_signal(signal.SIGINT)
        return plain(own, stopped)

    monkeypatch.setattr(trial, "run", interrupted)
    assert main([*WORDS, "--out", str(tmp_path / "kept"), "--quiet"]) == 130
    assert len(json.loads((tmp_path / "kept" / "memory.json").read_text())["trials"]) == 3
    made_up[:] = [(0, "", "")] * 3
    assert (
        main([*WORDS, "--out", str(tmp_path / "nothing"), "--quiet"]) == 130
    )  # before the first trial ended
    assert "interrupted" in capsys.readouterr().err and not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--task sums", "argument --task: invalid choice"),
        ("--cells rnn,tree", "--cells has 'tree'; expected of rnn, gru, lstm"),
        ("--cells rnn,", "--cells is 'rnn,'"),
        ("--remedies magic", "--remedies has 'magic'; expected none"),
        ("--remedies clip+clip=2", "sets clip twice"),
        ("--remedies clip=-1", "--remedies has 'clip=-1'; expected a number above 0"),
        ("--remedies xavier=2", "--remedies has 'xavier=2'; expected xavier alone"),
        ("--remedies relu --cells gru", "--remedies 'relu' fits none of --cells gru"),
        ("--delays ten", "--delays has 'ten'; expected whole numbers"),
        ("--task order --delays 5,20", "--delays has 5; expected 10 to 100,000 with order"),
        ("--steps 0", "--steps is 0"),
        ("--lr nan", "--lr is nan"),
        ("--threads 0", "--threads is 0"),
        ("--minutes 1e-9", "--minutes is 1e-09, too short for one trial"),
        ("--delay 5", "--delay is given; expected it with --write"),
        ("--out {full}", "full is there already; expected a new or empty folder"),
        ("--write adding.npz", "--write is adding.npz; expected a name that ends in .csv with adding"),
        ("--write a.npz --task copy", "--write with --task copy"),
        ("--write a.npz --task order --delay 9", "--delay is 9; expected 10 or more"),
        ("--write a.csv --count 0", "--count is 0"),
        ("--write a.csv --steps 3", "--steps has no meaning with --write"),
        ("--write nowhere/a.csv", "cannot write nowhere/a.csv"),
    ],
)
def test_bad_arguments_are_one_line(
    flags: str, line: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").touch()
    try:
        status = main(["bench", "memory", *flags.format(full=tmp_path / "full").split()])
    except SystemExit as error:
        status = int(error.code or 0)
    told = capsys.readouterr()
    assert status == 2 and line in told.err and told.err.count("\n") == 1 and not told.out
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Survey(Plan(**PLAN), [Row(10, "rnn", "none", Outcome("solved", 0.0, 1, 0.1))])

    def full(*args: Any) -> Any:
        raise UsageError("no space left on device")

    monkeypatch.setattr(saving, "atomic_write", full)
    with pytest.raises(UsageError, match="no space"):
        saving.write(found, tmp_path / "out")
    assert not list(tmp_path.iterdir())
