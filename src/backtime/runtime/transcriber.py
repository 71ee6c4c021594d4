"""A trained transcriber on NumPy and the engine alone."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

import backtime.runtime.json_records as json_records
from backtime.data.audio import Floats, Hearing, Utterance, read_unwritten
from backtime.data.batching.buckets import pack
from backtime.data.batching.steps import Scale
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError
from backtime.fields import read
from backtime.models.file import ModelFile
from backtime.models.transcriber_config import TranscriberConfig
from backtime.reference.weights import Array
from backtime.runtime.groups import Grouped, apart, longest_first
from backtime.runtime.layers import Layers, above, log_softmax, product
from backtime.runtime.predictor import Prepared, Row

BEAM = 8
MOST_SECONDS = 600  # of sound in JSON


class Transcriber(Grouped):
    """Says what is said in sound."""

    json_records, file_endings = "lists of samples", (".wav",)

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        if not isinstance(file.config, TranscriberConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that transcribes")
        self.config, self.tensors = file.config, file.tensors
        self.characters = Lexicon.from_json(file.encoding["characters"])
        self.hearing: Hearing = read(Hearing, file.encoding["hearing"], "hearing", complete=True)
        self.scale = Scale.from_json(file.encoding["scale"])
        self.layers = Layers(self.config, self.tensors, "rnn")

    def read(self, source: Path | None) -> Iterator[Utterance]:
        """A sound file, those of a folder, or those of a manifest."""
        return read_unwritten(source, self.hearing)

    def from_json(self, values: list[Any]) -> list[Utterance]:
        """Lists of samples from -1 to 1, at the rate of training."""
        return [self._heard(own, number) for number, own in enumerate(values, 1)]

    def _heard(self, value: Any, number: int) -> Utterance:
        rate = self.hearing.rate
        wanted = f"a list of samples from -1 to 1, {rate} a second, {MOST_SECONDS} seconds at most"
        samples = json_records.numbers(value, number, MOST_SECONDS * rate, wanted)
        if max(map(abs, samples)) > 1:
            raise json_records.wrong(number, value, wanted)
        return Utterance(self.hearing.steps(np.array(samples, np.float32)), "", str(number))

    def prepare(self, record: Utterance, number: int) -> Prepared:
        """An utterance as it is."""
        return Prepared(record, len(record.features))

    def predict(self, records: Iterable[Utterance], beam: int = BEAM) -> Iterator[Row]:
        """The text of each utterance, and its log-probability, in nats."""
        for number, record in enumerate(records, 1):
            yield from self.answers([self.prepare(record, number).value], beam)[0]

    def answers(self, values: Sequence[Utterance], beam: int = BEAM) -> list[list[Row]]:
        """The text of each utterance, and its log-probability, in nats."""
        found = zip(values, self._logs([own.features for own in values]), strict=True)
        return [[_row(own.name, *self._text(logs, beam))] for own, logs in found]

    def transcribe(self, features: Floats, beam: int = BEAM) -> tuple[str, float]:
        """The likeliest text, by a search over its beginnings, and its log-probability."""
        return self._text(self.logs(features), beam)

    def _text(self, logs: Array, beam: int) -> tuple[str, float]:
        numbers, score = best_text(logs, beam)
        return "".join(self.characters.symbols[n - 1] for n in numbers), score

    def scaled(self, features: Floats) -> Array:
        """What the network reads of features."""
        found: Array = (features - self.scale.mean) / self.scale.deviation
        return found.astype(self.tensors["head.bias"].dtype)

    def logs(self, features: Floats) -> Array:
        """Log-probabilities (T, V + 1) of blank and characters at each step."""
        return self._logs([features])[0]

    def _logs(self, every: Sequence[Floats]) -> list[Array]:
        scaled = [self.scaled(own) for own in every]
        records, places = longest_first(scaled, [len(own) for own in scaled])
        packed = pack(records)
        y, _ = self.layers.run(cast(Array, packed.rows), packed.batch_sizes)
        y = above(self.config, self.tensors, y)
        z = product(y, self.tensors["head.weight"]) + self.tensors["head.bias"]
        logs = [log_softmax(own) for own in apart(z, packed.batch_sizes)]
        return [logs[place] for place in places]


def _row(name: str, text: str, score: float) -> Row:
    return {"file": name, "text": text, "score": round(score, 4)}


def best_text(logs: Array, beam: int) -> tuple[list[int], float]:
    """The likeliest numbers, from 1, of log-probabilities (T, V + 1) whose first is the blank.

    Prefix search: of each beginning it keeps how likely it is with a blank last and with its character last
    (Graves 2006; Hannun et al., arXiv 1408.2873), and of all beginnings the ``beam`` likeliest.
    """
    found: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for row in logs:
        grown: dict[tuple[int, ...], list[float]] = {}
        for text, (blank, ending) in found.items():
            whole = float(np.logaddexp(blank, ending))
            _add(grown, text, 0, whole + row[0])
            if text:
                _add(grown, text, 1, ending + row[text[-1]])
            for n in range(1, len(row)):
                before = blank if text and n == text[-1] else whole
                _add(grown, (*text, n), 1, before + row[n])
        best = sorted(grown, key=lambda text: -float(np.logaddexp(grown[text][0], grown[text][1])))[:beam]
        found = {text: (grown[text][0], grown[text][1]) for text in best}
    text = max(found, key=lambda own: float(np.logaddexp(*found[own])))
    return list(text), float(np.logaddexp(*found[text]))


def _add(grown: dict[tuple[int, ...], list[float]], text: tuple[int, ...], which: int, value: float) -> None:
    own = grown.setdefault(text, [-np.inf, -np.inf])
    own[which] = float(np.logaddexp(own[which], value))
