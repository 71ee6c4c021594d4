"""The model file: safetensors, with configuration and vocabulary in its metadata. See docs/files.md."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from backtime.data.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.reference.weights import Array
from backtime.runtime.config import LanguageConfig

FORMAT, VERSION, KIND = "backtime-model", 1, "language"
IN_RUN_FOLDER = Path("best") / "model.safetensors"
DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
PathLike = str | os.PathLike[str]


class ModelFile(NamedTuple):
    """What a model file holds."""

    config: LanguageConfig
    vocabulary: Vocabulary
    tensors: dict[str, Array]


def write_model(
    path: PathLike, config: LanguageConfig, vocabulary: Vocabulary, tensors: Mapping[str, Array]
) -> None:
    """Write a model file, whole or not at all; equal models give equal bytes.

    ``tensors`` are those that ``config.shapes()`` names, of one float type.
    """
    metadata: dict[str, str] = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "kind": KIND,
        "config": json.dumps(config.to_json()),
        "vocabulary": json.dumps(vocabulary.to_json()),
    }
    _check_vocabulary(config, vocabulary)
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
    path = Path(path)
    if path.is_dir():
        path = _best_of(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a model file or a run folder")
    try:
        with safe_open(path, framework="numpy") as file:
            return _parse(file)
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
    if metadata.get("format") != FORMAT:
        raise UsageError("not a backtime model (its metadata does not say so)")
    version = metadata.get("format_version", "")
    if version != str(VERSION):
        newer = version.isdecimal() and int(version) > VERSION
        raise UsageError(
            f"format version {version!r} {'is newer than this backtime' if newer else 'is unknown'}; "
            f"expected {VERSION}"
        )
    if metadata.get("kind") != KIND:
        raise UsageError(f"a model of kind {metadata.get('kind')!r}; expected {KIND!r}")
    config = LanguageConfig.from_json(_value(metadata, "config"))
    vocabulary = Vocabulary.from_json(_value(metadata, "vocabulary"))
    _check_vocabulary(config, vocabulary)
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping, a safetensors handle
    _check_tensors({name: tuple(part.get_shape()) for name, part in slices.items()}, config)
    _check_dtypes({name: part.get_dtype() for name, part in slices.items()})
    return ModelFile(config, vocabulary, {name: file.get_tensor(name) for name in slices})


def _value(metadata: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(metadata.get(name, ""))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"metadata {name} is not JSON: {error}") from error


def _check_vocabulary(config: LanguageConfig, vocabulary: Vocabulary) -> None:
    if len(vocabulary) != config.vocabulary_size:
        raise UsageError(
            f"vocabulary has {len(vocabulary)} symbols; expected vocabulary_size = {config.vocabulary_size}"
        )


def _check_tensors(found: Mapping[str, tuple[int, ...]], config: LanguageConfig) -> None:
    expected = config.shapes()
    for name, shape in expected.items():
        if name not in found:
            raise UsageError(f"tensor {name} is missing")
        if found[name] != shape:
            raise UsageError(f"tensor {name} has shape {found[name]}; expected {shape}")
    if strange := sorted(set(found) - set(expected)):
        raise UsageError(f"tensor {strange[0][:80]!r} does not belong to a model of this configuration")


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
