"""Files that are written whole or not at all."""

import contextlib
import errno
import glob
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from backtime.errors import UsageError, shown

NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """A binary file to write into, which becomes ``path`` when the block ends and not before.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and take the name ``path``
    in one step, so that a reader, a crash or a power cut finds the previous file or the whole new one. When
    the block raises, the temporary file is removed and the previous file stays. Raises ``UsageError`` when
    the file cannot be created or the disk is full.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        file = temporary.open("wb")
    except OSError as error:
        raise UsageError(_refusal(path, error)) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in NO_SPACE:
            raise UsageError(_refusal(path, error)) from error
        raise
    except BaseException:  # Ctrl-C too: nothing half-written is left behind
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files, all of them or none.

    All lie whole on the disk under temporary names before the first takes its own. Raises ``UsageError``
    when one of them cannot be created, is a folder, or the disk is full; then all are as they were.
    """
    for path in contents:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; expected the name of a file to write")
    temporaries = {path: _temporary(path) for path in contents}
    path = Path()
    try:
        for path, content in contents.items():
            with temporaries[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            temporary.replace(path)
    except BaseException as error:  # Ctrl-C too: nothing half-written is left behind
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(_refusal(path, error)) from error
        raise
    for folder in {path.parent for path in contents}:
        _sync_folder(folder)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``path`` when the block ends; ``path`` is not there yet, or empty.

    When the block raises, nothing is left. Raises ``UsageError`` when it cannot be created.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UsageError(_refusal(path, error)) from error
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:  # Ctrl-C too
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise UsageError(_refusal(path, error)) from error
        raise


def to_json(value: Any, **options: Any) -> str:
    """``value`` as JSON that every reader takes: it has no NaN and no infinity, null stands for them."""
    return json.dumps(_finite(value), allow_nan=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises ``UsageError`` when there is something else, or nothing."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is damaged: it holds {shown(value)}; expected an object")
    return value


def write_json_atomic(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON through ``atomic_write``."""
    text = json.dumps(value, indent=2) + "\n"  # before the file is touched: what JSON cannot say raises here
    with atomic_write(path) as file:
        file.write(text.encode("ascii"))


def _refusal(path: Path, error: OSError) -> str:
    if error.errno in NO_SPACE:
        return f"no space left on device while writing {path}; the previous file is untouched"
    return f"cannot write {path}: {error.strerror}"


def _temporary(path: Path) -> Path:
    """The name that ``path`` has until it is whole; what others left there is swept away."""
    _sweep(path)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _sweep(path: Path) -> None:
    """Remove what earlier processes that were killed while writing ``path`` left in its folder."""
    prefix = f".{path.name}."
    for left in path.parent.glob(f"{glob.escape(prefix)}*.tmp"):
        process = left.name.removeprefix(prefix).removesuffix(".tmp")
        if process.isdecimal() and not _alive(int(process)):
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 asks only whether the process is there
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut.

    Some file systems cannot flush a folder; the file is whole and in place by now, so that is no failure.
    """
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
