"""A trained encoder-decoder on NumPy and the engine alone: it writes symbol by symbol, by beam search."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.lexicon import Lexicon
from backtime.data.pairs import Pair, joined, read_sources, split_text
from backtime.errors import UsageError
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile
from backtime.reference.weights import Array, Integers
from backtime.runtime.beam import BEAM, BeamWriter, Written
from backtime.runtime.predictor import Row

LONGEST = 3  # a translation may have so many times the symbols of its source, and ten


class Translator(BeamWriter):
    """Translates texts."""

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
        for record in records:
            text = record if isinstance(record, str) else record.source
            found = self.translate(text, beam)
            yield {
                "source": text,
                "translation": joined(found.symbols, self.level),
                "score": round(found.score, 4),
            }

    def translate(self, text: str, beam: int = BEAM) -> Written:
        """The best translation that ``search`` finds; raises ``UsageError`` for an empty text."""
        numbers = self.sources.numbers(split_text(text, self.level))
        if not numbers:
            raise UsageError(f"the text {text!r} has no words; expected a text to translate")
        read, state = self.look(numbers)
        return self.search(read, state, beam, LONGEST * len(numbers) + 10)

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
        state = self.encoder.zero_state(1)
        return np.stack([self.encoder.step(np.array([n]), state)[0].copy() for n in numbers]), state
