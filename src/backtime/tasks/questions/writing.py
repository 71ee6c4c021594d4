"""What decided each written symbol: of a translation the symbols read, of a caption the image's columns."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from backtime.data.pairs import split_text
from backtime.data.written import Padded
from backtime.insight.decisions import Question, log_odds
from backtime.insight.measures import Floats
from backtime.insight.units.following import Passage
from backtime.models.file import ModelFile
from backtime.models.saving import build_model
from backtime.models.writer import TextBatch
from backtime.runtime.beam import Written
from backtime.runtime.captioner import Captioner
from backtime.runtime.translator import Translator
from backtime.tasks.questions import known
from backtime.tasks.shared.writing import text_batch

END = "(end)"


def translations(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """Each symbol of the translation that is written, its end among them, by the symbols that were read."""
    network, own = build_model(model).eval(), Translator(model)
    for pair in islice(own.read(source), count):
        written, steps = own.translate(pair.source), split_text(pair.source, own.level)
        read = Padded.of([np.array(own.sources.numbers(steps), np.int64)])
        batch = text_batch(read, [_numbers(own, written)], network)
        passage = Passage(network.encoder, steps, known.of_symbols(steps))
        looks = None if written.attention is None else np.asarray(written.attention, np.float64)
        yield _asked(network, batch, written, network.encoder, steps, passage, 0, looks)


def captions(model: ModelFile, source: Path, count: int) -> Iterator[Question]:
    """Each symbol of the text that is written, its end among them, by the columns of the image.

    The units are those of the decoder, over the symbols that it read: the begin, then what it wrote.
    """
    network, own = build_model(model).eval(), Captioner(model)
    for image in islice(own.read(source), count):
        written = own.caption(image)
        scaled = (own.frame.checked(image) - own.scale.mean) / own.scale.deviation
        pixels = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
        batch = text_batch((pixels,), [_numbers(own, written)], network)
        read = ["(begin)", *written.symbols]
        passage = Passage(network.decoder, read, known.of_symbols(read))
        steps = [str(column) for column in range(1, own.frame.columns + 1)]
        looks = _by_column(written.attention, network.config.grid, own.frame.columns)
        yield _asked(network, batch, written, network.convolutions[0], steps, passage, 3, looks)


def _asked(
    network: Any, batch: TextBatch, written: Written, layer: Any, steps: list[str], passage: Passage,
    axis: int, looks: Floats | None,
) -> Question:  # fmt: skip
    shares = _logits(network, batch).detach().softmax(1)
    right = batch.outputs[:, 0, None]
    sure: list[float | None] = [float(p) for p in shares.gather(1, right)[:, 0]]
    scores = partial(_scores, network, batch)
    return Question([*written.symbols, END], sure, scores, layer, steps, passage, axis, looks)


def _logits(network: Any, batch: TextBatch) -> Tensor:
    found: Tensor = network.head.logits(network(batch))[:, 0]
    return found


def _scores(network: Any, batch: TextBatch) -> Tensor:
    """Of each symbol that was written, after the right ones before it."""
    return log_odds(_logits(network, batch), batch.outputs[:, 0])


def _numbers(own: Translator | Captioner, written: Written) -> NDArray[np.int64]:
    return np.array(own.targets.numbers(written.symbols), np.int64)


def _by_column(attention: Any, grid: tuple[int, int], columns: int) -> Floats | None:
    """Attention (n, places) as (n, columns): each place's share, over the columns that it stands for."""
    if attention is None:
        return None
    shares = np.asarray(attention, np.float64).reshape(-1, *grid).sum(1)
    wide = columns // grid[1]
    spread = np.repeat(shares / wide, wide, 1)
    return np.pad(spread, ((0, 0), (0, columns - spread.shape[1])))
