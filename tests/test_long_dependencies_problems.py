"""Problems that need memory: each answer against the definition, and files of them for ``train``."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtime.cli.main import main
from backtime.long_dependencies.problems import COPIED, LETTERS, PROBLEMS, SYMBOLS, Drawn


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
