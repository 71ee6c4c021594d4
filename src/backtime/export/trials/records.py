"""Sequences of real data in batches: from all over a file, of several sizes, ragged."""

from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from backtime.errors import UsageError
from backtime.export.trials import Sequence, Trial
from backtime.export.trials.numbering import NUMBERINGS
from backtime.models.file import ModelFile

SIZES = (1, 3, 8)  # of the batches
LONGEST = 1000  # steps of a sequence
TEXTS = 100_000  # so many records are read at most, for sequences from all over them
FILES = 240  # the same of pictures and sound


def recorded(model: ModelFile, source: Path) -> Trial:
    """Sequences from all over data such as the model was trained on, in batches of several sizes.

    Raises ``UsageError`` where they cannot be read, or are not of the model's task.
    """
    records, number = NUMBERINGS[model.config.network](model, source)
    texts = getattr(model.config, "symbols", 1) and model.config.network not in ("captioner", "transcriber")
    chosen = _spread(islice(records, TEXTS if texts else FILES), sum(SIZES))
    own = [_cut(number(one), LONGEST) for one in chosen]
    if not own:
        raise UsageError(f"{source} has no records in it; expected data such as the model was trained on")
    images = model.config.network == "captioner"
    own = own if images else _uneven(own)
    rest = cycle(own)
    batches = [list(islice(rest, size)) for size in SIZES]
    told = f"on {len(own)} sequence{'s' * (len(own) > 1)} of {source}{'' if images else _steps(own)}"
    return Trial(told, batches)


def _spread(records: Iterable[Any], count: int) -> list[Any]:
    """``count`` of the records, as far apart as can be, or all where they are fewer; few are kept at once."""
    kept: list[Any] = []
    stride = 1
    for n, one in enumerate(records):
        if n % stride == 0:
            kept.append(one)
        if len(kept) == 4 * count:
            kept, stride = kept[::2], 2 * stride
    return [kept[n] for n in np.unique(np.linspace(0, len(kept) - 1, count).astype(int))] if kept else []


def _steps(own: list[Sequence]) -> str:
    least, most = (pick(_length(one) for one in own) for pick in (min, max))
    return f", of {least} to {most} steps" if least < most else f", of {most} steps"


def _length(one: Sequence) -> int:
    return len(one[0]) if isinstance(one, tuple) else len(one)


def _cut(one: Sequence, steps: int) -> Sequence:
    """Its first steps."""
    return (one[0][:steps], one[1]) if isinstance(one, tuple) else one[:steps]


def _uneven(own: list[Sequence]) -> list[Sequence]:
    """The sequences; where all are as long as each other, every second one to its middle."""
    if len({_length(one) for one in own}) > 1:
        return own
    return [_cut(one, (_length(one) + 1) // 2) if n % 2 else one for n, one in enumerate(own)]
