"""The house rules: what may import what, what importing costs, that documents and benchmarks are true."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backtime import kernels
from backtime.cli import main as command_line

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "backtime"

# From the ground up: a room imports itself and rooms of lower floors, never its neighbours.
FLOORS = [
    {"errors"},
    {"files"},
    {"reference"},
    {"_engine"},
    {"native"},
    {"backends"},
    {"stack"},
    {"kernels"},
    {"data"},
    {"runtime", "nn", "interchange"},
    {"models"},
    {"training", "insight"},
    {"tasks"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imported_rooms(source: str) -> list[str]:
    """Rooms of the package that a module imports, at its top or inside a function."""
    rooms = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert node.level == 0, "relative import: name the room"
            rooms += [f"{module}.{name.name}" for name in node.names] if module == "backtime" else [module]
        elif isinstance(node, ast.Import):
            rooms += [name.name for name in node.names]
    names = [room.split(".")[1] for room in rooms if room.startswith("backtime.")]
    return [name for name in names if name != "__version__" and name != "UsageError"]


def upward(room: str, source: str) -> list[str]:
    """The rooms that a module of ``room`` imports against the rule."""
    return [
        other for other in imported_rooms(source) if other != room and FLOOR.get(other, 99) >= FLOOR[room]
    ]


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_upwards(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in FLOOR, f"{room} is a new room: give it a floor"
    assert upward(room, path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("reference", "from backtime.kernels import forward", ["kernels"]),
        ("reference", "import backtime.kernels", ["kernels"]),
        ("kernels", "def f():\n    from backtime import nn", ["nn"]),
        ("runtime", "from backtime.nn import LSTM", ["nn"]),
        ("nn", "from backtime.somewhere import x", ["somewhere"]),
        ("nn", "from backtime import UsageError, kernels\nfrom backtime.nn import check", []),
    ],
)
def test_an_upward_import_is_seen(room: str, source: str, found: list[str]) -> None:
    assert upward(room, source) == found


TORCH_FREE = (
    "backtime",
    "backtime.reference",
    "backtime.kernels",
    "backtime.runtime",
    "backtime.data.vocabulary",
)


def loaded_by(module: str) -> set[str]:
    code = f"import {module}, sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", [*TORCH_FREE, "backtime.cli.main", "backtime.cli.sample"])
def test_loads_without_torch(module: str) -> None:
    assert {"torch", "rich", "matplotlib"} & loaded_by(module) == set()


def test_torch_is_seen_when_it_is_loaded() -> None:
    assert "torch" in loaded_by("backtime.nn")


def test_import_is_quick() -> None:
    """Under 0.3 s: the best of five processes, whole, so that a busy machine does not decide."""

    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import backtime"], check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


@pytest.mark.skipif("BACKTIME_REQUIRE_ENGINE" not in os.environ, reason="only where the engine must be there")
def test_the_engine_is_there() -> None:
    assert kernels.available(), kernels.engine_info()


# The documents. `make docs` runs what follows.

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/*.md")),
]
documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def broken_links(text: str, folder: Path) -> list[str]:
    """Relative links to nowhere."""
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```", "", text))
    targets = [link.partition("#")[0] for link in links if "://" not in link]
    return [target for target in targets if target and not (folder / target).exists()]


@documents
def test_documents_link_to_files_that_exist(document: Path) -> None:
    assert broken_links(document.read_text(), document.parent) == []


def test_documents_with_a_broken_link_are_seen(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    text = "[a](here.md#part) [b](gone.md) [c](https://example.org) ```[d](code)```"
    assert broken_links(text, tmp_path) == ["gone.md"]


def test_documents_are_all_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"}
    assert pages - set(re.findall(r"\]\((\w+\.md)\)", index)) == set()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text)


def commands(text: str) -> list[list[str]]:
    """Words of the ``backtime`` commands in shell blocks and blocks without a language."""
    lines = "".join(blocks(text, "") + blocks(text, "sh")).replace("\\\n", " ").splitlines()
    found = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if "backtime " in line]
    return [words[1:] for words in found if words[0] == "backtime"]


@documents
def test_documents_show_commands_that_exist(document: Path) -> None:
    for words in commands(document.read_text()):
        command_line._parser(words).parse_args(words)


def test_documents_with_a_wrong_command_are_seen() -> None:
    [words] = commands("```sh\n$ backtime sample runs/x --no-such-option  # comment\nls\n```")
    with pytest.raises(SystemExit):
        command_line._parser(words).parse_args(words)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the snippets find what they speak of: ``book.txt`` and ``runs/book-lstm-1``."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "book.txt").write_text("Once upon a time the quick brown fox jumps over lazy dogs: abc.\n" * 99)
    words = "train book.txt --hidden-size 8 --seq-length 8 --batch-size 4 --max-steps 3 --quiet"
    subprocess.run([sys.executable, "-m", "backtime", *words.split()], cwd=folder, check=True)
    return folder


@documents
def test_documents_show_python_that_runs(document: Path, desk: Path) -> None:
    """The snippets of a page, one after the other, as one program."""
    program = "\n".join(blocks(document.read_text(), "python"))
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=desk, stderr=-1, text=True)
    assert run.returncode == 0, f"{program}\n{run.stderr}"


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
