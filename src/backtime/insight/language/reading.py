"""A flow of a language model of ours: the loss of each step is that of the symbol it predicts."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from backtime.data.text.tokens import prepare_corpus
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.insight.gradient.flows import flow
from backtime.insight.measures import Flow
from backtime.insight.reports.report import Report, report
from backtime.insight.units.following import Units, look
from backtime.models.saving import load_model

HELD_OUT = 20  # one part in so many, at the end of the text, is what training has not seen


class Reading(NamedTuple):
    """A language model and the piece of text that it is looked at with."""

    name: str
    model: Any
    vocabulary: Vocabulary
    rows: Tensor  # (T + 1, B) tokens


def read(path: Path, data: Path | None, steps: int, sequences: int, folder: Path) -> Reading:
    """The model in ``path``, and pieces of the end of the text ``data``; ``folder`` is for what is large.

    Raises ``UsageError`` when the model is not one of language.
    """
    model, file = load_model(path)
    if file.task != "language":
        raise UsageError(
            f"{path} is a model of the task {file.task}; expected a language model: for others there is "
            "backtime.insight.flow"
        )
    vocabulary = Vocabulary.from_json(file.encoding["vocabulary"])
    tokens, _ = prepare_corpus(data, folder, vocabulary=vocabulary)
    start = max(0, len(tokens) - max(len(tokens) // HELD_OUT, 2 * (steps + 1) * sequences))
    return Reading(path.stem or str(path), model, vocabulary, rows_of(tokens[start:], steps, sequences))


def measure(reading: Reading, seq_length: int | None, needs: int | None = None) -> Report:
    """The report on a model."""
    return report(
        reading.name,
        tokens_flow(reading.model, reading.rows[:-1], reading.rows[1:], spectra=True),
        seq_length,
        needs=needs,
    )


def rows_of(tokens: Any, steps: int, sequences: int) -> Tensor:
    """(T + 1, B) tokens: ``sequences`` pieces, evenly spaced over the text; fewer where it is short."""
    if len(tokens) < 3:
        raise UsageError(f"the text has {len(tokens)} symbols; expected at least 3")
    T = min(steps, len(tokens) - 1)
    B = max(1, min(sequences, len(tokens) // (T + 1)))
    room = len(tokens) - (T + 1)
    starts = [round(n * room / max(B - 1, 1)) for n in range(B)]
    return torch.stack([torch.tensor(tokens[s : s + T + 1]).long() for s in starts], 1)


def tokens_flow(model: Any, tokens: Tensor, targets: Tensor, **options: Any) -> Flow:
    """``flow`` of a language model that predicts ``targets`` (T, B) from ``tokens``; losses in nats."""

    def loss(output: Any) -> Tensor:
        logits = model.head.logits(output[0])
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten().long(), reduction="sum")

    return flow(model, tokens, loss, **options)


def units_of(reading: Reading, count: int) -> Units:
    """What units of the top layer do on the first piece of the text."""
    return look(reading.model, reading.vocabulary, reading.rows[:, 0], count)
