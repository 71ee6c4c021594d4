"""The files of a survey: table, numbers and picture, in a folder of their own."""

import itertools
from pathlib import Path

from backtime.errors import UsageError
from backtime.files import atomic_folder, atomic_write, to_json
from backtime.long_dependencies.picture import drawn, picture
from backtime.long_dependencies.survey import Survey
from backtime.long_dependencies.table import as_json, lines


def write(found: Survey, folder: Path) -> list[str]:
    """Write the table, the numbers and the picture, all or nothing; returns the names of the files."""
    figure = picture(found)
    files = {"memory.json": to_json(as_json(found), indent=2).encode()}
    files |= {"memory.txt": (lines(found) + "\n").encode()}
    files |= {f"memory.{kind}": drawn(figure, kind) for kind in ("png", "svg")}
    with atomic_folder(folder) as place:
        for name, content in files.items():
            with atomic_write(place / name) as file:
                file.write(content)
    return list(files)


def place_for(out: Path | None, task: str) -> Path:
    """The folder to write: ``out``, new or empty, or ``memory-TASK-N`` with the first N that is free."""
    if out is None:
        names = (Path(f"memory-{task}-{number}") for number in itertools.count(1))
        return next(path for path in names if not path.exists())
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"--out {out} is there already; expected a new or empty folder")
    return out
