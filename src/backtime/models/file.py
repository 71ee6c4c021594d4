"""The model file: safetensors, with task, configuration and encoding in its metadata. See docs/files.md.

No PyTorch: tensors are NumPy's arrays here.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from backtime.errors import UsageError, shown
from backtime.fields import Encoding
from backtime.files import atomic_write
from backtime.models.config import Config, read_config
from backtime.reference.weights import Array

FORMAT, VERSION = "backtime-model", 2
KINDS_OF_VERSION_1 = {"language": "aligned"}  # what 0.1.0 called kind is a task and its network
IN_RUN_FOLDER = Path("best") / "model.safetensors"
DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
PathLike = str | os.PathLike[str]


class ModelFile(NamedTuple):
    """What a model file holds.

    ``task`` is the task that the model was trained for, ``encoding`` how its records become numbers and back
    (a vocabulary, labels, scales): a JSON object for each part.
    """

    task: str
    config: Config
    encoding: dict[str, Any]
    tensors: dict[str, Array]


def write_model(path: PathLike, model: ModelFile) -> None:
    """Write a model file, whole or not at all; equal models give equal bytes.

    The tensors are those that ``model.config.shapes()`` names, of one float type.
    """
    config, tensors = model.config, model.tensors
    metadata: dict[str, str] = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "task": model.task,
        "network": config.network,
        "config": json.dumps(config.to_json()),
        "encoding": json.dumps(model.encoding),
    }
    config.check_encoding(model.encoding)
    _check_tensors({name: value.shape for name, value in tensors.items()}, config)
    head = _header(metadata, tensors)
    with atomic_write(Path(path)) as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in sorted(tensors):
            file.write(np.ascontiguousarray(tensors[name]).tobytes())


def read_model(path: PathLike) -> ModelFile:
    """Read a model file, or the best model of a run folder.

    Raises ``UsageError``, in one line, when the file is missing, damaged, not a backtime model, of a newer
    format, or when its parts do not fit each other.
    """
    with _opened(path) as file:
        return _parse(file)


def task_of(path: PathLike) -> str:
    """The task of the model in a file or a run folder, from its head alone; raises as ``read_model`` does."""
    with _opened(path) as file:
        return _head(file.metadata() or {})[0]


@contextlib.contextmanager
def _opened(path: PathLike) -> Iterator[Any]:
    """The open safetensors file; what goes wrong in the block is told with the file's name."""
    path = Path(path)
    if path.is_dir():
        path = _best_of(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a model file or a run folder")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except SafetensorError as error:
        raise UsageError(f"{path} is not a whole safetensors file: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def _best_of(folder: Path) -> Path:
    if not (folder / IN_RUN_FOLDER).is_file():
        raise UsageError(
            f"{folder} is a folder without {IN_RUN_FOLDER}; expected a model file or a run folder"
        )
    return folder / IN_RUN_FOLDER


def _parse(file: Any) -> ModelFile:
    metadata = file.metadata() or {}
    task, network, encoding = _head(metadata)
    config = read_config(network, _value(metadata, "config"))
    config.check_encoding(encoding)
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping, a safetensors handle
    _check_tensors({name: tuple(part.get_shape()) for name, part in slices.items()}, config)
    _check_dtypes({name: part.get_dtype() for name, part in slices.items()})
    return ModelFile(task, config, encoding, {name: file.get_tensor(name) for name in slices})


def _head(metadata: Mapping[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Task, network and encoding, of this version's metadata or of version 1's."""
    if metadata.get("format") != FORMAT:
        raise UsageError("not a backtime model (its metadata does not say so)")
    version = metadata.get("format_version", "")
    if version == "1":
        kind = metadata.get("kind", "")
        if kind not in KINDS_OF_VERSION_1:
            expected = ", ".join(map(repr, KINDS_OF_VERSION_1))
            raise UsageError(f"a model of kind {shown(metadata.get('kind'))}; expected {expected}")
        return kind, KINDS_OF_VERSION_1[kind], Encoding(vocabulary=_value(metadata, "vocabulary"))
    if version != str(VERSION):
        newer = version.isdecimal() and version.lstrip("0") > str(VERSION)  # as text: it may have any length
        raise UsageError(
            f"format version {shown(version)} {'is newer than this backtime' if newer else 'is unknown'}; "
            f"expected {VERSION}"
        )
    for name in ("task", "network"):
        if name not in metadata:
            raise UsageError(f"metadata lacks {name}")
    encoding = _value(metadata, "encoding")
    if not isinstance(encoding, dict):
        raise UsageError(f"metadata encoding is {shown(encoding)}; expected an object")
    return metadata["task"], metadata["network"], Encoding(encoding)


def _value(metadata: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(metadata.get(name, ""))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"metadata {name} is not JSON: {error}") from error


def _check_tensors(found: Mapping[str, tuple[int, ...]], config: Config) -> None:
    expected = config.shapes()
    for name, shape in expected.items():
        if name not in found:
            raise UsageError(f"tensor {name} is missing")
        if found[name] != shape:
            raise UsageError(f"tensor {name} has shape {found[name]}; expected {shape}")
    if strange := sorted(set(found) - set(expected)):
        raise UsageError(f"tensor {shown(strange[0])} does not belong to a model of this configuration")


def _check_dtypes(found: Mapping[str, str]) -> None:
    kinds = sorted(set(found.values()))
    if len(kinds) != 1 or kinds[0] not in DTYPES:
        raise UsageError(f"tensors are {' and '.join(kinds)}; expected all F32 or all F64")


def _header(metadata: dict[str, str], tensors: Mapping[str, Array]) -> bytes:
    """The JSON header of a safetensors file. The library's own writer orders metadata at random."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    entries: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name in sorted(tensors):
        value = tensors[name]
        entries[name] = {
            "dtype": names[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [start, start + value.nbytes],
        }
        start += value.nbytes
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    return text.ljust(-(-len(text) // 8) * 8)  # spaces up to a multiple of 8, so that the tensors are aligned
