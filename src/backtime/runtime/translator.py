"""A trained encoder-decoder on NumPy and the engine alone: it writes symbol by symbol, by beam search."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import backtime.runtime.json_records as json_records
from backtime.data.lexicon import Lexicon
from backtime.data.pairs import Pair, joined, read_sources, split_text
from backtime.errors import UsageError
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile
from backtime.reference.weights import Array, Integers
from backtime.runtime.beam import BEAM, BeamWriter, Written
from backtime.runtime.groups import longest_first, stepped
from backtime.runtime.predictor import Prepared, Row

LONGEST = 3  # a translation may have so many times the symbols of its source, and ten


class Source(NamedTuple):
    """A text, and the numbers (S,) of its symbols."""

    text: str
    numbers: NDArray[np.int64]


class Translator(BeamWriter):
    """Translates texts."""

    json_records, file_endings = "texts", (".txt",)

    def __init__(self, file: ModelFile, backend: str = "auto") -> None:
        """Prepare the weights for stepping."""
        if not isinstance(file.config, EncoderDecoderConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that translates")
        super().__init__(file.config, file, backend)
        self.sources = Lexicon.from_json(file.encoding["sources"])
        self.encoder = self.stack("encoder", "source", backend)

    def read(self, source: Path | None) -> Iterator[Pair]:
        """Lines of text; what follows a tab is left out."""
        return read_sources(source)

    def predict(self, records: Iterable[Pair | str], beam: int = BEAM) -> Iterator[Row]:
        """The translation of each text, and the mean log-probability of its symbols, in nats."""
        for number, record in enumerate(records, 1):
            yield from self.answers([self.prepare(record, number).value], beam)[0]

    def from_json(self, values: list[Any]) -> list[str]:
        """Texts."""
        return json_records.texts(values)

    def prepare(self, record: Pair | str, number: int) -> Prepared:
        """The text as numbers; raises ``UsageError`` where it is empty."""
        own = self._source(record if isinstance(record, str) else record.source)
        return Prepared(own, (1 + LONGEST) * len(own.numbers) + 10)

    def answers(self, values: Sequence[Source], beam: int = BEAM) -> list[list[Row]]:
        """The translation of each text, and the mean log-probability of its symbols, in nats."""
        found = zip(values, self._translate(values, beam), strict=True)
        return [[self._row(own.text, written)] for own, written in found]

    def _row(self, text: str, found: Written) -> Row:
        translation = joined(found.symbols, self.level)
        return {"source": text, "translation": translation, "score": round(found.score, 4)}

    def translate(self, text: str, beam: int = BEAM) -> Written:
        """The best translation that ``search`` finds; raises ``UsageError`` for an empty text."""
        return self._translate([self._source(text)], beam)[0]

    def _source(self, text: str) -> Source:
        numbers = self.sources.numbers(split_text(text, self.level))
        if not numbers:
            raise UsageError(f"the text {text!r} has no words; expected a text to translate")
        return Source(text, np.array(numbers, np.int64))

    def _translate(self, values: Sequence[Source], beam: int) -> list[Written]:
        sources, places = longest_first([own.numbers for own in values], [len(own.numbers) for own in values])
        every, state = stepped(self.encoder, sources)
        searches = [
            self.searching(read, [part[n : n + 1] for part in state], beam, LONGEST * len(read) + 10)
            for n, read in enumerate(every)
        ]
        written = self.search_all(searches)
        return [written[place] for place in places]

    def draw(self, records: Iterable[Pair | str]) -> Any:
        """A figure of matplotlib: for each of the first texts what its translation looked at."""
        from backtime.runtime.attention_picture import MOST, draw_attention

        if not self.config.attention:
            raise UsageError("--picture: the model has no attention; expected one trained with --attention")
        first = islice(records, MOST)
        texts = [record if isinstance(record, str) else record.source for record in first]
        found = [(split_text(text, self.level), self.translate(text)) for text in texts]
        return draw_attention([(source, own.symbols, own.attention) for source, own in found])

    def look(self, numbers: Sequence[int] | Integers) -> tuple[Array, list[Array]]:
        """The encoder's outputs (S, H) for the numbers of a text, and its last state."""
        [read], state = stepped(self.encoder, [np.asarray(numbers, np.int64)])
        return read, state
