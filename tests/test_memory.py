"""``backtime bench memory``: the problems, the trials, what counts as solved, the table, the files."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backtime import UsageError
from backtime.cli.main import main
from backtime.long_dependencies import saving, survey, table, trial
from backtime.long_dependencies.problems import COPIED, LETTERS, PROBLEMS, SYMBOLS, Drawn
from backtime.long_dependencies.remedies import PARTS, Remedy, make_remedy
from backtime.long_dependencies.survey import Plan, Row, Survey
from backtime.long_dependencies.trial import Outcome, Rememberer, Trial


def draw(name: str, delay: int, count: int = 400) -> Drawn:
    drawn = PROBLEMS[name].draw(delay, count, np.random.default_rng(0))
    assert drawn.x.dtype == np.float32 and drawn.x.shape[1:] == (count, PROBLEMS[name].inputs)
    assert drawn.y.shape == (PROBLEMS[name].answers, count)
    return drawn


# Each answer once more, read off a single sequence by the problem's definition.


def adding(steps: Any) -> float:
    places = [t for t, (_, mark) in enumerate(steps) if mark == 1]
    assert len(places) == 2 and places[0] < len(steps) // 2 <= places[1]
    assert {float(mark) for _, mark in steps} <= {0.0, 1.0}
    return float(steps[places[0]][0] + steps[places[1]][0])


def copy(steps: Any) -> list[int]:
    read = [int(np.flatnonzero(step)[0]) for step in steps]
    middle, end = read[COPIED:-COPIED], read[-COPIED:]
    assert set(middle[:-1]) <= {SYMBOLS} and middle[-1] == SYMBOLS + 1 and set(end) == {SYMBOLS}
    return read[:COPIED]


def order(steps: Any) -> str:
    read = "".join(LETTERS[int(np.flatnonzero(step)[0])] for step in steps)
    first, second = (t for t, letter in enumerate(read) if letter in "XY")
    assert len(read) // 10 <= first < len(read) // 5 and len(read) // 2 <= second < 3 * len(read) // 5
    return read[first] + read[second]


def parity(steps: Any) -> int:
    assert set(steps.ravel()) <= {0.0, 1.0}
    return [int(bit) for bit in steps.ravel()].count(1) % 2


def sequences(drawn: Drawn) -> Any:
    return zip(drawn.x.swapaxes(0, 1), drawn.y.T, strict=True)


@pytest.mark.parametrize("delay", [2, 7, 40])
def test_adding_is_the_sum_of_the_marked(delay: int) -> None:
    for steps, y in sequences(draw("adding", delay)):
        assert len(steps) == delay and y[0] == pytest.approx(adding(steps))


@pytest.mark.parametrize("delay", [1, 2, 30])
def test_copy_asks_for_what_came_first(delay: int) -> None:
    for steps, y in sequences(draw("copy", delay)):
        assert len(steps) == delay + 2 * COPIED and y.tolist() == copy(steps)


@pytest.mark.parametrize("delay", [10, 25, 100])
def test_order_is_that_of_the_two_signs(delay: int) -> None:
    for steps, y in sequences(draw("order", delay)):
        assert len(steps) == delay and ("XX", "XY", "YX", "YY")[y[0]] == order(steps)


@pytest.mark.parametrize("delay", [1, 8])
def test_parity_counts_the_ones(delay: int) -> None:
    for steps, y in sequences(draw("parity", delay)):
        assert len(steps) == delay and y[0] == parity(steps)


@pytest.mark.parametrize("name", PROBLEMS)
def test_chance_is_what_the_best_constant_answer_gets(name: str) -> None:
    problem, y = PROBLEMS[name], draw(name, 20, 40_000).y
    if problem.is_regression:
        assert np.square(y - 1).mean() == pytest.approx(problem.chance, rel=0.02)
    else:
        shares = np.bincount(y.ravel(), minlength=problem.outputs) / y.size
        np.testing.assert_allclose(shares, problem.chance, rtol=0.05)
    assert not problem.is_solved(problem.chance) and not problem.is_solved(float("nan"))


def test_a_draw_depends_on_its_generator_alone() -> None:
    for problem in PROBLEMS.values():
        one, same, other = (problem.draw(20, 8, np.random.default_rng(seed)) for seed in (3, 3, 4))
        assert np.array_equal(one.x, same.x) and not np.array_equal(one.x, other.x)


def make(name: str, delay: int, cell: str, remedy: str = "none", **changes: Any) -> Trial:
    usual = {"hidden_size": 16, "batch_size": 64, "lr": 0.02, "steps": 400, "check_every": 20, "seed": 1}
    return Trial(PROBLEMS[name], delay, cell, make_remedy(remedy), **(usual | changes))


def never() -> bool:
    return False


@pytest.mark.parametrize(("name", "delay"), [("order", 10), ("parity", 2)])
def test_a_short_delay_is_solved(name: str, delay: int) -> None:
    found = trial.run(make(name, delay, "gru", "clip"), never)
    assert found.end == "solved" and found.is_solved and found.score > 0.99
    assert found.curve[-1][0] == found.steps < 400 and found.curve[-1][1] > 0.99


def test_a_trial_is_repeated_by_its_seed() -> None:
    ends = [trial.run(make("order", 10, "lstm", steps=5, seed=seed), never).score for seed in (1, 1, 2)]
    assert ends[0] == ends[1] != ends[2]


def test_answers_that_are_noise_are_not_called_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sequences, each with the answer of another."""
    plain = PROBLEMS["order"].draw

    def shuffled(delay: int, count: int, random: np.random.Generator) -> Drawn:
        x, y = plain(delay, count, random)
        return Drawn(x, random.permutation(y, axis=1))

    problem = PROBLEMS["order"]
    monkeypatch.setitem(PROBLEMS, "order", type(problem)(**{**vars(problem), "draw": shuffled}))
    found = trial.run(make("order", 10, "gru", "clip", steps=150), never)
    assert found.end == "not solved" and found.score < 0.5


def test_a_lucky_look_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes on the checked sequences has to pass on new ones."""
    looks: list[int] = []

    def lucky(network: Any, problem: Any, batches: Any) -> float:
        looks.append(sum(len(y[0]) for _, y in batches))
        return 1.0 if looks[-1] == trial.CHECKED else 0.7

    monkeypatch.setattr(trial, "score", lucky)
    found = trial.run(make("order", 10, "gru", steps=40), never)
    assert found.end == "not solved" and found.score == 0.7
    assert looks == [trial.CHECKED, trial.CONFIRMED] * 2 + [trial.CONFIRMED]


def test_a_gradient_that_is_not_finite_ends_the_trial() -> None:
    found = trial.run(make("adding", 200, "rnn", "linear", lr=50.0), never)
    assert found.end == "diverged" and not found.is_solved and found.steps < 400


def test_clipping_bounds_what_reaches_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[torch.Tensor]] = []

    class Watching(torch.optim.SGD):
        def __init__(self, weights: Any, lr: float, fused: bool) -> None:
            super().__init__(weights, lr=0.0)

        def step(self, closure: Any = None) -> None:
            seen.append([weight.grad.clone() for weight in self.param_groups[0]["params"]])

    monkeypatch.setattr(torch.optim, "Adam", Watching)
    for remedy in ("none", "clip=0.01", "clip-value=0.001"):
        trial.run(make("adding", 20, "rnn", remedy, steps=1), never)
    norms = [float(torch.cat([g.flatten() for g in own]).norm()) for own in seen]
    largest = [max(float(g.abs().max()) for g in own) for own in seen]
    assert norms[0] > 0.02 and norms[1] == pytest.approx(0.01, rel=1e-3)
    assert largest[0] > 0.002 and largest[2] == pytest.approx(0.001)


def test_a_remedy_is_in_the_network() -> None:
    problem = PROBLEMS["adding"]
    rnn = Rememberer(problem, 20, "rnn", make_remedy("relu+identity"), 8).rnn
    assert rnn.nonlinearity == "relu" and torch.equal(rnn.weight_hh_l0.detach(), torch.eye(8))
    lstm = Rememberer(problem, 20, "lstm", make_remedy("layer-norm+forget-bias=4"), 8).rnn
    assert lstm.settings.layer_norm and (lstm.bias_ih_l0[8:16] == 4).all()


def test_remedies_are_read_part_by_part() -> None:
    assert make_remedy("none") == Remedy()
    assert make_remedy("clip=5+xavier") == Remedy("clip=5+xavier", init="xavier", clip=5.0)
    assert not make_remedy("relu").fits("gru") and not make_remedy("forget-bias").fits("rnn")
    assert all(make_remedy(name).fits("lstm") for name in set(PARTS) - {"relu", "sigmoid", "linear"})


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


def test_the_adding_problem_as_a_table_for_forecast(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "memory", "--write", "adding.csv", "--delay", "6", "--count", "5"]) == 0
    rows = np.loadtxt("adding.csv", delimiter=",", skiprows=1).reshape(5, 7, 5)
    for own in rows:
        assert own[:, 0].tolist() == list(range(7)) and not own[:6, 4].any()
        assert own[6, 4] == pytest.approx(adding(own[:6, 2:4]), abs=2e-6)
    words = (
        "--task forecast --series-column sequence --target sum --past number,mark --lookback 6 --horizon 1"
    )
    words += " --anchor none --scale none --loss mse --validation-fraction 0 --hidden-size 4 --max-steps 2"
    assert main(["train", "adding.csv", *words.split(), "--out", "run", "--quiet"]) == 0
    assert main(["evaluate", "run", "adding.csv"]) == 0
    assert "windows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "labels"), [("order", {"XX", "XY", "YX", "YY"}), ("parity", {"even", "odd"})]
)
def test_the_others_as_series_for_classify(
    task: str, labels: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(f"bench memory --task {task} --write file.npz --delay 10 --count 60 --seed 3".split()) == 0
    file, drawn = np.load("file.npz"), PROBLEMS[task].draw(10, 60, np.random.default_rng(3))
    assert set(file["y"]) == labels and np.array_equal(file["x"], drawn.x.swapaxes(0, 1))
    answers = [order(steps) if task == "order" else ("even", "odd")[parity(steps)] for steps in file["x"]]
    assert answers == file["y"].tolist()
    words = "--task classify --hidden-size 4 --max-steps 2 --out run --quiet"
    assert main(["train", "file.npz", *words.split()]) == 0


def test_help_and_files_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from backtime.cli.main import main; "
        f"main(['bench', 'memory', '--write', {str(tmp_path / 'a.csv')!r}, '--count', '2']); "
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
