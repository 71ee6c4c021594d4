"""A text with its parts as tokens: what is trained on and, in files of their own, what is held out."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from backtime.data.text.corpus import find_corpus
from backtime.data.text.readers import read_text, whole_words
from backtime.data.text.symbols import Special, split_words
from backtime.data.text.token_file import TokenFile
from backtime.data.text.tokens import Progress, kept_tokens, prepare_corpus
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import DataWarning, UsageError, shown

MANY_UNKNOWN = 0.1  # of the words: from here on it is told
VALID = "valid"  # where the tokens of the validation file are, in the folder of the others
PATIENCE = 2.0  # seconds of reading before it is told

Tell = Callable[[str], None]  # shows the user a line


@dataclass(frozen=True)
class Text:
    """A text as tokens, and their vocabulary."""

    tokens: TokenFile
    vocabulary: Vocabulary
    files: str = ""  # which ones of a folder, for people
    held_out: TokenFile | None = None  # of a validation file

    @property
    def fingerprint(self) -> str:
        """Of the tokens."""
        own = self.tokens.fingerprint
        return f"{own} {self.held_out.fingerprint}" if self.held_out else own

    @property
    def encoding(self) -> dict[str, Any]:
        """The vocabulary."""
        return {"vocabulary": self.vocabulary.to_json()}

    def describe(self) -> str:
        """Tokens and symbols, the files that they are from, and how many are unknown words."""
        sizes = f"{len(self.tokens):,} tokens of {len(self.vocabulary)} symbols{self.files}"
        if self.held_out:
            sizes += f", {len(self.held_out):,} to validate on"
        name = self.vocabulary.special.unknown
        return f"{sizes}, {self.unknown:.1%} of them {name}" if self.unknown else sizes

    @cached_property
    def unknown(self) -> float:
        """The share of words that the vocabulary lacks; ``<unk>`` written in the text is one too."""
        return unknown_share(self.tokens, self.vocabulary)


@dataclass(frozen=True)
class Files:
    """Where a text is: to train on (None: the default text), to validate on, to measure the model on."""

    train: Path | str | None
    valid: Path | str | None = None
    test: Path | str | None = None


class Symbols(NamedTuple):
    """What a symbol of a text is, as ``count_vocabulary`` takes it."""

    level: str = "char"
    vocabulary_size: int | None = None
    special: Special = Special()


def read_parts(files: Files, folder: Path, symbols: Symbols, known: Vocabulary | None, tell: Tell) -> Text:
    """The text as numbers in ``folder``, its vocabulary counted, or the one that is ``known``.

    Of a text that is gone, the tokens that the folder holds, if they are of the known vocabulary. Raises
    ``UsageError`` where a file is missing or has nothing to learn from, ``DataWarning`` at many unknown
    words.
    """
    source = Path(files.train) if files.train else None
    if known and not (source and source.exists()) and (kept := kept_tokens(folder, known)):
        if source:
            tell(f"{source} is gone; going on with its tokens in the run folder")
        return Text(kept, known, held_out=_held_out(files.valid, folder, known))
    level, size, special = symbols
    tokens, vocabulary = prepare_corpus(
        source, folder, level, size, known, special=special, progress=_reading(tell)
    )
    held_out = _held_out(files.valid, folder, vocabulary)
    if files.test and known is None:  # said now, not when the training has ended
        find_corpus(files.test, vocabulary.level)
    about = f" from {find_corpus(source, level, folder).describe()}" if source and source.is_dir() else ""
    name, text = str(source or "the text"), Text(tokens, vocabulary, about, held_out)
    if tokens.is_constant():
        symbol = shown(vocabulary.symbols[int(tokens[:1][0])])
        raise UsageError(f"{name} is {symbol} again and again; expected a text with something to learn")
    warn_of_unknown(text.unknown, name, vocabulary)
    return text


def unknown_share(tokens: TokenFile, vocabulary: Vocabulary) -> float:
    """The share of unknown words; 0 where symbols are no words."""
    if vocabulary.unknown is None:
        return 0.0
    return tokens.count(vocabulary.unknown) / len(tokens)


def count_characters(source: Path, level: str) -> int:
    """How many characters a text has."""
    return sum(map(len, read_text(find_corpus(source, level))))


def count_words(source: Path, level: str) -> int:
    """How many words a text has, each end of a line one too."""
    pieces = whole_words(read_text(find_corpus(source, level)))
    return sum(len(split_words(piece)) for piece in pieces)


def warn_of_unknown(share: float, name: str, vocabulary: Vocabulary) -> None:
    """A ``DataWarning`` where so many words are unknown that the loss says little."""
    if share > MANY_UNKNOWN:
        word = vocabulary.special.unknown
        words = f"{share:.0%} of the words of {name} are not in the vocabulary and count as {word}"
        warnings.warn(
            f"{words}: the loss of such a text is low for that reason alone", DataWarning, stacklevel=3
        )


def check_predictable(tokens: TokenFile, name: Path | str) -> None:
    """Raise ``UsageError`` where no token can be predicted from one before it."""
    if len(tokens) < 2:
        raise UsageError(f"{name} has {len(tokens)} token; expected at least 2: one to predict another")


def _held_out(file: Path | str | None, folder: Path, vocabulary: Vocabulary) -> TokenFile | None:
    """The tokens of the validation file, in a folder of their own."""
    if file is None:
        return None
    source, place = Path(file), folder / VALID
    if not source.exists() and (kept := kept_tokens(place, vocabulary)):
        return kept
    tokens, _ = prepare_corpus(source, place, vocabulary=vocabulary)
    check_predictable(tokens, source)
    return tokens


def _reading(tell: Tell) -> Progress:
    """Tells once that a corpus is being read, if it takes more than a moment."""
    started, told = time.perf_counter(), False

    def tick(done: int, total: int) -> None:
        nonlocal told
        if not told and time.perf_counter() > started + PATIENCE:
            tell(f"reading the text, {total / 1e6:,.0f} MB in all")
            told = True

    return tick
