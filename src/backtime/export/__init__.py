"""A trained model in the formats of others; each file is tried before it is kept. See docs/export.md.

- ``onnx``      any network, for ONNX Runtime and whatever else reads ONNX
- ``c``         one C99 file and its header, without allocation: for microcontrollers
- ``torch``     a ``state_dict`` of plain ``torch.nn`` layers
- ``keras``     the lists that ``set_weights`` of Keras's layers takes
- ``rtneural``  the JSON that RTNeural reads: for audio plug-ins
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backtime.errors import UsageError
from backtime.export.chain import check_beyond
from backtime.export.made import Made
from backtime.export.trials import Trial
from backtime.export.trials.drawn import drawn
from backtime.files import write_together
from backtime.models.file import ModelFile

__all__ = ["FORMATS", "Format", "export"]


class Format(NamedTuple):
    """A format: what it is, the ending of its file, the module that has its ``make``.

    ``beyond``: what it has a place for beside plain layers and an output, see ``RecurrentConfig.beyond``.
    """

    help: str
    ending: str
    module: str
    beyond: tuple[str, ...] = ()


FORMATS = {
    "onnx": Format(
        "standard RNN, GRU and LSTM nodes",
        ".onnx",
        "backtime.export.onnx",
        ("output recurrence", "skip connections", "output layers"),
    ),
    "c": Format("one C99 file and its header", ".c", "backtime.export.c_code", ("output recurrence",)),
    "torch": Format("state_dict of torch.nn layers", ".pt", "backtime.export.torch_state"),
    "keras": Format("weights in Keras's layout", ".npz", "backtime.export.keras_weights"),
    "rtneural": Format("JSON for RTNeural", ".json", "backtime.export.rtneural"),
}


def export(model: ModelFile, form: str, out: Path, trials: Sequence[Trial] = (), **options: Any) -> list[str]:
    """Write ``out`` in a format, all its files or none; returns lines about what was found when it was tried.

    It is tried on random inputs, and on ``trials``: those of data come from ``trials.records.recorded``.
    ``options``: ``int8=True`` for ``c``. Raises ``UsageError`` naming what the format has no place for, or
    the difference that was too large.
    """
    if form not in FORMATS:
        raise UsageError(f"--to {form}; expected one of {', '.join(FORMATS)}")
    for name, value in model.tensors.items():
        if not np.isfinite(value).all():
            raise UsageError(f"tensor {name} has numbers that are not finite; no format keeps them")
    check_beyond(model.config, form, FORMATS[form].beyond)
    make: Callable[..., Made] = importlib.import_module(FORMATS[form].module).make
    files, lines = make(model, out, [drawn(model), *trials], **options)
    write_together(files)
    return [*lines, *(f"written: {path} ({len(content):,} bytes)" for path, content in files.items())]
