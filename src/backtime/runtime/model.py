"""A trained language model on NumPy and the engine alone."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import backtime.runtime.json_records as json_records
from backtime.data.text.lines import read_lines
from backtime.data.text.symbols import UnknownSymbolError
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import DataWarning, UsageError, shown
from backtime.models.config import LanguageConfig
from backtime.models.file import ModelFile, PathLike, read_model
from backtime.reference.weights import Array
from backtime.runtime.predictor import Row
from backtime.runtime.sample import Sampler, StopString
from backtime.runtime.scores import score_line
from backtime.runtime.stacks import Stack, stack_of

MANY_UNKNOWN = 0.1  # of the words of a prompt: from here on it is told
State = list[Array]  # as kernels.Stack has it: for each layer h, and c for the LSTM, each (1, H)


def load(path: PathLike, backend: str = "auto") -> "Model":
    """The model in a model file, or the best model of a run folder; raises ``UsageError`` when there is none.

    ``backend`` is that of ``backtime.kernels``.
    """
    return Model(read_model(path), backend)


class Model:
    """A language model to step, to sample from and to score text with.

    ``config`` and ``vocabulary`` say what it is.
    """

    json_records, file_endings = "texts", (".txt",)

    def __init__(self, file: ModelFile, backend: str = "auto") -> None:
        """Prepare the weights for stepping."""
        if not isinstance(file.config, LanguageConfig):
            raise UsageError(
                f"a model for the task {shown(file.task)}; expected one that reads and writes text"
            )
        self.config: LanguageConfig = file.config
        self.vocabulary = Vocabulary.from_json(file.encoding["vocabulary"])
        table = "head.weight" if self.config.tie_weights else "embedding.weight"
        self.stack = stack_of(
            self.config.recurrent, file.tensors, "rnn", embedding=file.tensors.get(table), backend=backend
        )

    def stream(self, state: State | None = None) -> "Stream":
        """A place in a text, from a copy of ``state`` or from zeros."""
        return Stream(self.stack, state, self.config.vocabulary_size)

    def sample(
        self,
        prompt: str = "",
        length: int = 1000,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        greedy: bool = False,
        stop: str | None = None,
        seed: int = 0,
    ) -> Iterator[str]:
        """Text that continues ``prompt``, in pieces as they come: ``length`` symbols, or fewer when ``stop``
        comes.

        The prompt is not repeated and ``stop`` is not shown. An empty prompt stands for the start of a line:
        the model reads one newline (the first symbol of the vocabulary where it has no newline). Temperature,
        ``top_k``, ``top_p``, ``greedy`` and ``seed`` are those of ``Sampler``. Raises ``UsageError``, at
        once, naming the argument that does not fit, or the character of the prompt that the vocabulary lacks.
        """
        if length < 0:
            raise UsageError(f"length is {length}; expected a whole number from 0")
        sampler = Sampler(self.config.vocabulary_size, temperature, top_k, top_p, greedy, seed)
        gate = None if stop is None else StopString(stop)
        pieces = self._pieces(self.encode(prompt), bool(prompt), length, sampler)
        return pieces if gate is None else _until(gate, pieces)

    def from_json(self, values: list[Any]) -> list[str]:
        """Texts."""
        return json_records.texts(values)

    def read(self, source: Path | None) -> Iterator[str]:
        """The lines of a text file, or of standard input: the records of ``predict``."""
        return read_lines(source)

    def predict(self, records: Iterable[str]) -> Iterator[Row]:
        """For each line of text how likely it is, and what would follow: see ``scores.score_line``.

        Lines do not depend on each other. Raises ``UsageError`` naming the line that has a character which
        the vocabulary lacks.
        """
        for number, text in enumerate(records, 1):
            try:
                yield {"line": number, **score_line(self.stream().step, self.vocabulary, text)}
            except UnknownSymbolError as error:
                raise UsageError(f"line {number}: {error}") from error

    def encode(self, prompt: str) -> list[int]:
        """The symbols that the model reads before it writes; those of a new line where there is no prompt."""
        try:
            ids: list[int] = self.vocabulary.encode(prompt or "\n").tolist()
        except UnknownSymbolError as error:
            if not prompt:
                return [0]
            raise UsageError(f"prompt: {error}") from error
        if self.vocabulary.unknown is not None:
            unknown = ids.count(self.vocabulary.unknown)
            if unknown > MANY_UNKNOWN * len(ids):
                words = f"{unknown} of the {len(ids)} words of the prompt are not in the vocabulary"
                name = self.vocabulary.special.unknown
                warnings.warn(f"{words} and count as {name}", DataWarning, stacklevel=3)
        return ids or [0]

    def _pieces(self, prompt: list[int], shown: bool, length: int, sampler: Sampler) -> Iterator[str]:
        decoder = self.vocabulary.decoder()
        if shown:  # so that a word after the prompt gets its space
            for token in prompt:
                decoder.feed(token)
        step, draw, feed = self.stream().step, sampler.draw, decoder.feed
        for token in prompt[:-1]:
            step(token)
        token = prompt[-1]
        for _ in range(length):
            token = draw(step(token))
            if piece := feed(token):
                yield piece
        if rest := decoder.flush():
            yield rest


class Stream:
    """Reads one symbol at a time; ``state`` is where it is, and may be kept and given to ``Model.stream``."""

    def __init__(self, stack: Stack, state: State | None, V: int) -> None:
        """Start from a copy of ``state``."""
        stream = stack.stream()
        self.state: State = stream.state
        if state is not None:
            _copy_into(self.state, state)
        self._step, self._size = stream.step, V

    def step(self, token: int) -> Array:
        """Read one symbol number; returns the logits (V,) of the next one."""
        if not 0 <= token < self._size:
            raise UsageError(f"token is {token}; expected 0 to {self._size - 1}")
        return self._step(int(token))[0].copy()  # type: ignore[no-any-return]


def _until(gate: StopString, pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        if text := gate.feed(piece):
            yield text
        if gate.found:
            return
    if gate.held:
        yield gate.held


def _copy_into(own: State, given: State) -> None:
    shapes = [part.shape for part in own]
    if [np.shape(part) for part in given] != shapes:
        raise UsageError(f"state has shapes {[np.shape(part) for part in given]}; expected {shapes}")
    for mine, part in zip(own, given, strict=True):
        mine[...] = part
