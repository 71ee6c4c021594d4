"""The house rules: what may import what, and what importing costs."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from backtime import __version__, kernels
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
    {"tasks", "long_dependencies"},
    {"serve", "estimators"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
INSIGHT_FLOORS = [
    {"measures", "unfolded", "layers"},
    {"derivation", "steps", "units", "verdict"},
    {"drawing", "dynamics", "decisions", "reports"},
    {"gradient", "units_report"},
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
    """The modules of other tasks that a module imports: each task is its own, and the table finds it by name.

    An estimator is the face of one task in Python, as its page is in words: it may name it.
    """
    if room_of(module) == "estimators":
        return []
    others = [entry.module for entry in TASKS.values() if not is_in(module, entry.module)]
    return [name for name in imported(known[module], known) if any(is_in(name, task) for task in others)]


def is_in(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


@pytest.mark.parametrize("module", MODULES)
def test_no_module_knows_a_task(module: str) -> None:
    assert tasks_named(module, MODULES) == []


def test_a_module_that_knows_a_task_is_seen() -> None:
    source = "def f():\n    from backtime.tasks.language import KIND"
    assert tasks_named("backtime.cli.x", MODULES | {"backtime.cli.x": source}) == ["backtime.tasks.language"]
    inside = "from backtime.tasks.tag.measuring import measure"
    for module, found in {
        "backtime.tasks.shared.x": ["backtime.tasks.tag.measuring"],
        "backtime.tasks.language.x": ["backtime.tasks.tag.measuring"],
        "backtime.tasks.tag.x": [],
    }.items():
        assert tasks_named(module, MODULES | {module: inside}) == found


def ill_laid(package: str, known: dict[str, str]) -> set[str]:
    """What a task's package lacks, and what it has under a name of its own."""
    own = {name.removeprefix(f"{package}.") for name in known if name.startswith(f"{package}.")}
    return (ALWAYS - own) | (own - ALWAYS - SOMETIMES)


ALWAYS = {"settings", "task", "kind"}
SOMETIMES = {"data", "measuring", "presets", "retrieval"}


@pytest.mark.parametrize("task", TASKS)
def test_tasks_are_laid_out_alike(task: str) -> None:
    assert TASKS[task].module == f"backtime.tasks.{task}"
    assert ill_laid(TASKS[task].module, MODULES) == set()


def test_a_task_laid_out_otherwise_is_seen() -> None:
    lacking = {name: "" for name in MODULES if name != "backtime.tasks.tag.task"}
    assert ill_laid("backtime.tasks.tag", lacking) == {"task"}
    assert ill_laid("backtime.tasks.tag", {**MODULES, "backtime.tasks.tag.stuff": ""}) == {"stuff"}


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
