"""That the benchmarks can be imported, and time nothing that computes something else."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backtime import kernels

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a benchmark by its name."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("name", [path.stem for path in sorted(ROOT.glob("benchmarks/[a-z]*.py"))])
def test_benchmarks_can_be_imported(name: str, benchmark: Callable[[str], Any]) -> None:
    assert benchmark(name).__doc__


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_benchmarks_time_no_wrong_gradient(
    cell: str, benchmark: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = benchmark("engine_grid")
    point = grid.make_point(cell, 2, 5, 20)
    grid.check(point)
    backward = kernels.backward

    def wrong(*args: Any, **options: Any) -> Any:
        found = backward(*args, **options)
        found.dweights.Wh[0] *= 1.0001  # one row of one gradient, by one part in ten thousand
        return found

    monkeypatch.setattr(kernels, "backward", wrong)
    with pytest.raises(SystemExit, match="dWh of kernels is off"):
        grid.check(point)


@pytest.mark.parametrize(("name", "part", "factor"), [("losses", 1, 1.0001), ("gradients", 0, 1.01)])
def test_benchmarks_time_no_other_training(
    name: str, part: int, factor: float, benchmark: Callable[[str], Any]
) -> None:
    jobs = benchmark("training_jobs")
    sides = {side: {"losses": [4.0, 3.9], "gradients": [[1.0, 0.5]]} for side in jobs.SIDES}
    jobs.check("job", sides)
    numbers = sides["backtime"][name] if name == "losses" else sides["backtime"][name][0]
    numbers[part] *= factor
    with pytest.raises(SystemExit, match="backtime and torch differ"):
        jobs.check("job", sides)


def test_results_keep_their_other_sections(benchmark: Callable[[str], Any]) -> None:
    place = benchmark("common")._with_section
    text = place(place("# Results\n", "A", "## A\n\n1\n"), "B", "## B\n\n2\n")
    assert place(text, "A", "## A\n\n3\n") == "# Results\n\n## A\n\n3\n\n## B\n\n2\n"
