"""A trained transcriber on NumPy and the engine alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from backtime.data.audio import Floats, Hearing, Utterance, read_unwritten
from backtime.data.batching.steps import Scale
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError
from backtime.fields import read
from backtime.models.file import ModelFile
from backtime.models.transcriber_config import TranscriberConfig
from backtime.reference.weights import Array
from backtime.runtime.layers import Layers, above
from backtime.runtime.predictor import Row

BEAM = 8


class Transcriber:
    """Says what is said in sound."""

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

    def predict(self, records: Iterable[Utterance], beam: int = BEAM) -> Iterator[Row]:
        """The text of each utterance, and its log-probability, in nats."""
        for record in records:
            text, score = self.transcribe(record.features, beam)
            yield {"file": record.name, "text": text, "score": round(score, 4)}

    def transcribe(self, features: Floats, beam: int = BEAM) -> tuple[str, float]:
        """The likeliest text, by a search over its beginnings, and its log-probability."""
        numbers, score = best_text(self.logs(features), beam)
        return "".join(self.characters.symbols[n - 1] for n in numbers), score

    def scaled(self, features: Floats) -> Array:
        """What the network reads of features."""
        found: Array = (features - self.scale.mean) / self.scale.deviation
        return found.astype(self.tensors["head.bias"].dtype)

    def logs(self, features: Floats) -> Array:
        """Log-probabilities (T, V + 1) of blank and characters at each step."""
        rows = self.scaled(features)
        y, _ = self.layers.run(rows, np.ones(len(rows), np.int64))
        y = above(self.config, self.tensors, y)
        z = (y @ self.tensors["head.weight"].T + self.tensors["head.bias"]).astype(np.float64)
        z -= z.max(1, keepdims=True)
        found: Array = z - np.log(np.exp(z).sum(1, keepdims=True))
        return found


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
