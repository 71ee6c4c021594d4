"""What ``backtime train`` was asked for, as the settings of a task and the folder of a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.fields import flag
from backtime.models.file import ModelFile, read_model
from backtime.tasks.base import TaskKind
from backtime.tasks.running.same_data import STDIN
from backtime.training.run_folder import RunFolder
from backtime.training.settings import Settings

# Settings that are paths: kept as a resume finds them.
FILES = ("train_file", "valid_file", "test_file", "target_file", "text_file")


@dataclass(frozen=True)
class Request:
    """The command line: ``given`` are the settings named there, ``preset`` those they override."""

    task: str | None = None  # None: the default one, or in a resume the run's
    data: Path | None = None  # None: the task's default, or in a resume the run's
    given: dict[str, Any] = field(default_factory=dict)
    preset: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None
    init_from: Path | None = None
    quiet: bool = False
    as_json: bool = False


def start_of(kind: TaskKind, request: Request) -> ModelFile | None:
    """The model of ``--init-from``; raises ``UsageError`` where it is of another task."""
    if request.init_from is None:
        return None
    start = read_model(request.init_from)
    if start.task != kind.name:
        raise UsageError(f"--init-from {request.init_from} is of the task {start.task}, not {kind.name}")
    return start


def settings_of(kind: TaskKind, request: Request, start: ModelFile | None) -> Settings:
    """Preset, then what was given; the network of ``--init-from`` is fixed."""
    fixed = kind.fixed_by(start) if start else {}
    for name, value in request.given.items():
        if name in fixed and value != fixed[name]:
            raise UsageError(
                f"{flag(name)} {value} conflicts with {fixed[name]} of --init-from {request.init_from}"
            )
    files = {
        name: str(Path(value).resolve()) for name, value in request.given.items() if name in FILES and value
    }
    return kind.settings(**{**request.preset, **request.given, **fixed, **files})


def claim_folder(kind: TaskKind, request: Request, settings: Settings) -> RunFolder:
    """The new folder of a run: ``--out``, or one named after data and network."""
    if request.out:
        return RunFolder.create(request.out)
    named = request.data or request.given.get("train_file")
    name = Path(named).resolve().stem if named else kind.default_data
    if request.data == STDIN:
        name = "stdin"
    return RunFolder.create_next(Path("runs"), f"{'-'.join(name.split())}-{settings.label}")


def full_name(path: Path | None) -> str | None:
    """As a resume from anywhere finds it."""
    return str(path if path == STDIN else path.resolve()) if path else None
