"""A long row of tokens cut into B contiguous streams, read chunk by chunk, for truncated backpropagation.

Stream b is one uninterrupted stretch of the text, the next stream starts where it ends, and chunk k + 1 goes
on where chunk k stopped: the state after chunk k is the state before chunk k + 1 of the same streams. What is
to be predicted at a step is the token after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.share import share
from backtime.errors import UsageError

Chunk = tuple[NDArray[np.int64], NDArray[np.int64]]


class TokenRow(Protocol):
    """A row of symbol numbers: an array, a ``TokenFile``, or a ``Span`` of either."""

    def __len__(self) -> int:
        """N, the number of tokens."""

    def __getitem__(self, where: slice, /) -> NDArray[Any]:
        """The tokens of a slice, as an array."""


@dataclass(frozen=True)
class Span:
    """The tokens ``start`` to ``stop`` of a row; they are read when the span is sliced, not before."""

    tokens: TokenRow
    start: int
    stop: int

    def __len__(self) -> int:
        """The number of tokens."""
        return self.stop - self.start

    def __getitem__(self, where: slice, /) -> NDArray[Any]:
        """The tokens of a slice, as an array."""
        start, stop, step = where.indices(len(self))
        if step != 1:
            raise UsageError(f"the slice has step {step}; expected 1")
        return self.tokens[self.start + start : self.start + max(start, stop)]


def split(tokens: TokenRow, validation_fraction: float = 0.05) -> tuple[Span, Span]:
    """The training part and, from the end of the text, the validation part; nothing is read or copied."""
    if not 0 <= validation_fraction < 1:
        raise UsageError(f"validation_fraction is {validation_fraction}; expected 0 <= fraction < 1")
    N = len(tokens)
    border = N - round(N * validation_fraction)
    return Span(tokens, 0, border), Span(tokens, border, N)


def shifted(tokens: TokenRow, seq_length: int, epoch: int) -> Span:
    """Chunks of it end at other tokens in each of ``seq_length`` epochs; as long in all of them."""
    first = epoch % seq_length
    return Span(tokens, first, max(first, len(tokens) - seq_length + 1 + first))


class Streams:
    """``batch_size`` contiguous streams of ``tokens``, in chunks of ``seq_length`` steps.

    ``chunk(k)`` is ``(x, targets)``, both int64 (T, B), C-contiguous; ``len()`` is the number of chunks, and
    iteration gives them in order. Only the tokens of the chunk are read.

    For training all chunks have T = ``seq_length`` and B = ``batch_size``; the tokens after the last whole
    chunk are left out.

    With ``exact=True`` every token but the first is a target exactly once. A short text makes the attribute
    ``batch_size`` smaller than asked for. The last chunk may have fewer steps, and when the text does not
    divide by B, one more chunk of one step follows for the first r < B streams, shape (1, r): go on with the
    states of those (``state[:, :r]``).

    Where several processes train together, each reads its ``columns`` of the streams: B over their number.

    ``targets_total`` counts the targets of all chunks. Raises ``UsageError`` when the text is too short.
    """

    def __init__(self, tokens: TokenRow, batch_size: int, seq_length: int, *, exact: bool = False) -> None:
        """Lay the streams out; no token is read yet."""
        for name, value in (("batch_size", batch_size), ("seq_length", seq_length)):
            if value < 1:
                raise UsageError(f"{name} is {value}; expected a number from 1")
        pairs = len(tokens) - 1  # a token and the one after it
        if pairs < (1 if exact else batch_size * seq_length):
            raise UsageError(_too_short(tokens, batch_size, seq_length, exact))
        self.tokens, self.seq_length = tokens, seq_length
        self.columns = range(batch_size) if exact else share().columns(batch_size)
        if exact:
            self.batch_size = min(batch_size, max(1, pairs // seq_length))
            self.steps, self.longer = divmod(pairs, self.batch_size)  # ``longer`` streams have a step more
        else:
            self.batch_size, self.longer = batch_size, 0
            self.steps = pairs // (batch_size * seq_length) * seq_length
        self.targets_total = self.steps * self.batch_size + self.longer

    def __len__(self) -> int:
        """The number of chunks."""
        return -(-self.steps // self.seq_length) + (self.longer > 0)

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks in order."""
        return (self.chunk(k) for k in range(len(self)))

    def chunk(self, k: int) -> Chunk:
        """Inputs and targets of chunk ``k``, each int64 (T, B)."""
        if not 0 <= k < len(self):
            raise UsageError(f"chunk is {k}; expected 0 to {len(self) - 1}")
        first = min(k * self.seq_length, self.steps)
        T, B = min(self.seq_length, self.steps - first), self.batch_size
        if T == 0:  # past the end of the shorter streams
            T, B = 1, self.longer
        columns = self.columns if len(self.columns) < B else range(B)
        rows = np.empty((len(columns), T + 1), np.int64)
        for row, b in enumerate(columns):
            start = b * self.steps + min(b, self.longer) + first
            rows[row] = self.tokens[start : start + T + 1]
        return np.ascontiguousarray(rows[:, :-1].T), np.ascontiguousarray(rows[:, 1:].T)


def _too_short(tokens: TokenRow, B: int, T: int, exact: bool) -> str:
    name = f"the text has {len(tokens):,} tokens"
    if isinstance(tokens, Span):
        name = f"this part of the text has {len(tokens):,} of its {len(tokens.tokens):,} tokens"
    if exact:
        return f"{name}; expected at least 2: one to predict and one before it"
    return (
        f"{name}; batch-size {B} x seq-length {T} needs at least {B * T + 1:,}: "
        "lower --batch-size or --seq-length"
    )
