"""The house rules: what may import what, what importing costs, that documents and benchmarks are true."""

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backtime import __version__, kernels
from backtime.cli import main as command_line
from backtime.tasks import TASKS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "backtime"

# From the ground up: a room imports itself and rooms of lower floors, never its neighbours.
FLOORS = [
    {"errors", "version"},
    {"files", "fields"},
    {"reference"},
    {"_engine"},
    {"native"},
    {"backends"},
    {"stack"},
    {"kernels"},
    {"data"},
    {"interchange"},
    {"nn"},
    {"models"},
    {"runtime"},
    {"training", "insight", "export"},
    {"tasks", "memory"},
    {"serve", "estimators"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
INSIGHT_FLOORS = [
    {"measures", "unfolded", "layers"},
    {"derivation", "steps", "units", "verdict"},
    {"drawing", "dynamics", "decisions", "reports"},
    {"gradient"},
    {"language"},
    {"__init__"},
]
INSIGHT_FLOOR = {room: floor for floor, rooms in enumerate(INSIGHT_FLOORS) for room in rooms}
INSIGHT = "backtime.insight"


def module_name(path: Path, package: Path = PACKAGE) -> str:
    """A file's name as ``import`` has it; a package's is that of its ``__init__``."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(package: Path = PACKAGE) -> dict[str, str]:
    """Name and source of every module; the compiled one stands in its stub."""
    return {
        module_name(path, package): path.read_text()
        for path in sorted(package.rglob("*.py*"))
        if path.suffix in (".py", ".pyi")
    }


MODULES = modules()


def imported(source: str, known: dict[str, str]) -> list[str]:
    """The modules of the package that a module imports: at its top, in a function, for its types alone.

    ``from a import b`` imports ``a.b`` where that is a module, and else what ``a/__init__`` defines.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import: name the module"
            names = [f"{node.module}.{name.name}" for name in node.names]
            found += [name if name in known else str(node.module) for name in names]
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names]
    return [name for name in found if name.split(".")[0] == "backtime"]


def through_the_front_door(source: str) -> list[str]:
    """Lines that ask ``backtime/__init__`` for something: it is above all that could ask."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    asked = [
        ast.unparse(node)
        for node in nodes
        if (isinstance(node, ast.ImportFrom) and node.module == "backtime")
        or (isinstance(node, ast.Import) and "backtime" in [name.name for name in node.names])
    ]
    return asked


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def upward(module: str, known: dict[str, str]) -> list[str]:
    """The rooms that a module imports against the rule."""
    room, rooms = room_of(module), map(room_of, imported(known[module], known))
    return [other for other in rooms if other != room and FLOOR.get(other, 99) >= FLOOR[room]]


def insight_room_of(module: str) -> str:
    return module.split(".")[2] if module != INSIGHT else "__init__"


def upward_in_insight(module: str, known: dict[str, str]) -> list[str]:
    """The same for the packages within ``insight``: those of one floor do not know each other."""
    inside = [name for name in imported(known[module], known) if f"{name}.".startswith(f"{INSIGHT}.")]
    room, rooms = insight_room_of(module), map(insight_room_of, inside)
    return [other for other in rooms if other != room and INSIGHT_FLOOR.get(other, 99) >= INSIGHT_FLOOR[room]]


def circles(known: dict[str, str]) -> list[list[str]]:
    """Modules that import each other, directly or through others: each such circle, sorted."""
    graph = {name: set(imported(source, known)) & known.keys() - {name} for name, source in known.items()}
    reached = {name: set(others) for name, others in graph.items()}
    for middle in reached:  # Warshall's closure
        for others in reached.values():
            if middle in others:
                others |= reached[middle]
    found = {
        tuple(sorted(other for other in others if name in reached[other]))
        for name, others in reached.items()
        if name in others
    }
    return [list(circle) for circle in sorted(found)]


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_upwards(module: str) -> None:
    assert room_of(module) in FLOOR, f"{room_of(module)} is a new room: give it a floor"
    assert upward(module, MODULES) == []


@pytest.mark.parametrize("module", [name for name in MODULES if f"{name}.".startswith(f"{INSIGHT}.")])
def test_no_module_of_insight_imports_upwards(module: str) -> None:
    assert insight_room_of(module) in INSIGHT_FLOOR, f"{insight_room_of(module)} is new: give it a floor"
    assert upward_in_insight(module, MODULES) == []


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("drawing", "from backtime.insight.reports.page import page", ["reports"]),
        ("layers", "def f():\n    from backtime.insight.steps import step", ["steps"]),
        ("steps", "import backtime.insight.gradient.flows as flows", ["gradient"]),
        ("gradient", "from backtime.insight import judge", ["__init__"]),
        (
            "reports",
            "if TYPE_CHECKING:\n    from backtime.insight.language.reading import Reading",
            ["language"],
        ),
        (
            "reports",
            "from backtime.insight.verdict import rules\nfrom backtime.insight.reports import page",
            [],
        ),
    ],
)
def test_an_upward_import_in_insight_is_seen(room: str, source: str, found: list[str]) -> None:
    name = f"{INSIGHT}.{room}.x"
    assert upward_in_insight(name, MODULES | {name: source}) == found


def test_no_modules_import_each_other() -> None:
    assert circles(MODULES) == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_goes_through_the_front_door(module: str) -> None:
    assert through_the_front_door(MODULES[module]) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("backtime.reference.x", "from backtime.kernels import forward", ["kernels"]),
        ("backtime.reference.x", "import backtime.kernels as kernels", ["kernels"]),
        ("backtime.kernels", "def f():\n    from backtime.nn import LSTM", ["nn"]),
        ("backtime.runtime.x", "if TYPE_CHECKING:\n    from backtime.training import loop", ["training"]),
        ("backtime.interchange.x", "from backtime.nn import LSTM", ["nn"]),
        ("backtime.nn.x", "from backtime.somewhere import x", ["somewhere"]),
        ("backtime.native.x", "from backtime import accelerate", ["__init__"]),
        ("backtime.nn.x", "import backtime.kernels\nfrom backtime.nn import check", []),
        ("backtime", "from backtime.nn import swap", []),
    ],
)
def test_an_upward_import_is_seen(module: str, source: str, found: list[str]) -> None:
    assert upward(module, MODULES | {module: source}) == found


def test_modules_that_import_each_other_are_seen() -> None:
    for one, other in (
        ("from backtime.training import two", "from backtime.training.one import Trainer"),
        ("import backtime.training.two", "if TYPE_CHECKING:\n    from backtime.training.one import Trainer"),
        ("def f():\n    from backtime.training.two import g", "from backtime.training import one"),
    ):
        pair = {"backtime.training.one": one, "backtime.training.two": other}
        assert circles(MODULES | pair) == [list(pair)]
    three = {
        "backtime.data.a": "import backtime.data.b",
        "backtime.data.b": "import backtime.data.c",
        "backtime.data.c": "import backtime.data.a",
    }
    assert circles(three) == [list(three)]
    inside = {
        "backtime.data": "from backtime.data.a import x",
        "backtime.data.a": "from backtime.data import y",
    }
    assert circles(inside) == [list(inside)]
    assert circles({**three, "backtime.data.c": ""}) == []


@pytest.mark.parametrize(
    "source",
    ["from backtime import _engine", "def f():\n    from backtime import UsageError", "import backtime"],
)
def test_the_front_door_is_watched(source: str) -> None:
    assert len(through_the_front_door(source)) == 1
    assert through_the_front_door("import backtime._engine as _engine\nfrom backtime.nn import swap") == []


def tasks_named(module: str, known: dict[str, str]) -> list[str]:
    """The tasks' own modules that a module imports; each is its own, and the table finds it by name.

    An estimator is the face of one task in Python, as its page is in words: it may name it.
    """
    if room_of(module) == "estimators":
        return []
    own = {entry.module for entry in TASKS.values()} - {module}
    return [name for name in imported(known[module], known) if name in own]


@pytest.mark.parametrize("module", MODULES)
def test_no_module_knows_a_task(module: str) -> None:
    assert tasks_named(module, MODULES) == []


def test_a_module_that_knows_a_task_is_seen() -> None:
    source = "def f():\n    from backtime.tasks.language import KIND"
    assert tasks_named("backtime.cli.x", MODULES | {"backtime.cli.x": source}) == ["backtime.tasks.language"]


TORCH_FREE = (
    "backtime",
    "backtime.reference",
    "backtime.kernels",
    "backtime.runtime",
    "backtime.data.text.vocabulary",
    "backtime.models.file",
    "backtime.tasks",
    *(entry.module for entry in TASKS.values()),
)


def loaded_by(module: str) -> set[str]:
    code = f"import {module}, sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "module", [*TORCH_FREE, "backtime.cli.main", "backtime.cli.sample", "backtime.cli.predict"]
)
def test_loads_without_torch(module: str) -> None:
    assert {"torch", "rich", "matplotlib"} & loaded_by(module) == set()


def test_torch_is_seen_when_it_is_loaded() -> None:
    assert "torch" in loaded_by("backtime.nn")


def test_import_is_quick() -> None:
    """A bare ``import backtime`` reads the front door and no room behind it: nothing that takes time."""
    assert {name for name in loaded_by("backtime") if name.startswith("backtime.")} == {
        "backtime.errors",
        "backtime.version",
    }
    assert "numpy" not in loaded_by("backtime")


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
    assert pages - set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == set()


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


def test_the_sources_alone_are_enough(tmp_path: Path) -> None:
    """A checkout on the path, not installed and not built: NumPy answers, and the version is known."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    code = """
import importlib.metadata, sys
def absent(name): raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = absent
sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in type(finder).__name__
                    and "ScikitBuild" not in type(finder).__name__]
sys.path.insert(0, "src")
import backtime
from backtime import kernels
assert backtime.__file__.startswith(sys.argv[1]), backtime.__file__
print(backtime.__version__, kernels.engine_info()["isa"], "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{__version__} None False\n", done.stderr


def test_the_citation_has_the_version_of_the_project() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited and cited[1] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
