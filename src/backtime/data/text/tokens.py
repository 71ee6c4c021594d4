"""From a corpus to its token file: made once, used again while nothing it was made from has changed."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.data.text.corpus import Corpus, find_corpus
from backtime.data.text.counting import count_vocabulary
from backtime.data.text.readers import LONGEST_WORD, Tick, read_bytes, read_file, read_text, whole_words
from backtime.data.text.subwords import whole_parts
from backtime.data.text.symbols import SIZED, Special, UnknownSymbolError, check_level
from backtime.data.text.token_file import TokenFile, write_tokens
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError

Progress = Callable[[int, int], None]  # bytes read so far, bytes to read


def prepare_corpus(
    corpus: Path | str | None,
    folder: Path | str,
    level: str = "char",
    vocabulary_size: int | None = None,
    vocabulary: Vocabulary | None = None,
    *,
    special: Special | None = None,
    unknown: str = "error",
    progress: Progress | None = None,
) -> tuple[TokenFile, Vocabulary]:
    """The corpus as tokens in ``folder``, and their vocabulary; made now, or taken as they are if up to date.

    ``corpus`` is a text file, a folder, or None for the standard library's sources. Its vocabulary is
    counted at ``level``, at word and subword level with at most ``vocabulary_size`` symbols where that is
    given, at word level with the ``special`` words of the text. A ``vocabulary`` that is given is used
    instead, with its own level, and ``unknown`` says what happens to characters it lacks (``"error"`` or
    ``"skip"``). ``progress(done, total)`` is told the bytes read.

    Up to date means: the same files with the same sizes and times, and the same request. Raises
    ``UsageError`` on a corpus that is missing, empty, changing or not UTF-8, on an unknown character, on a
    full disk; then the folder keeps the corpus it held, or holds none.
    """
    folder, level = Path(folder), vocabulary.level if vocabulary else level
    check_level(level)
    found = find_corpus(corpus, level, folder)
    counted = None if vocabulary else _request(level, vocabulary_size, special or Special())
    made_from = {"sources": _sources(found), "unknown": unknown, "counted": counted}
    ready = _up_to_date(folder, made_from, vocabulary)
    if ready:
        return ready, ready.vocabulary
    passes = 1 if vocabulary or level == "byte" else 2
    tick = _ticker(progress, passes * found.size)
    if vocabulary is None:
        vocabulary = count_vocabulary(_pieces(found, level, tick), level, vocabulary_size, special)
    about = {"corpus": found.name, "text_bytes": found.size}
    about |= {"files": len(found.files), "skipped": found.skipped, **made_from}
    write_tokens(folder, _encoded(found, vocabulary, unknown, tick), vocabulary, about)
    return TokenFile(folder), vocabulary


def _request(level: str, vocabulary_size: int | None, special: Special) -> list[Any]:
    """All that a vocabulary depends on beside the text."""
    sized = [vocabulary_size] if level in SIZED else []
    return [level, *sized, *(special if level == "word" else ())]


def _up_to_date(folder: Path, made_from: dict[str, Any], vocabulary: Vocabulary | None) -> TokenFile | None:
    try:
        ready = TokenFile(folder)
        known = ready.vocabulary
    except UsageError:  # nothing there, or nothing whole: it is made anew
        return None
    same = {name for name, value in made_from.items() if ready.about.get(name) == value}
    wanted = set(made_from) if vocabulary is None else {"sources", "unknown"}
    fits = wanted <= same and vocabulary in (None, known)
    return ready if fits and ready.is_whole() else None


def kept_tokens(folder: Path, vocabulary: Vocabulary) -> TokenFile | None:
    """The tokens that ``folder`` holds, whatever has become of the text; None where they are not whole."""
    try:
        kept = TokenFile(folder)
        return kept if kept.vocabulary == vocabulary and kept.is_whole() else None
    except UsageError:
        return None


def _sources(corpus: Corpus) -> str:
    """A hash of which files the corpus has and of their sizes and times: equal means nothing to read."""
    files = [[str(source.path.resolve()), source.size, source.mtime_ns] for source in corpus.files]
    return hashlib.blake2b(json.dumps(files).encode(), digest_size=16).hexdigest()


def _pieces(corpus: Corpus, level: str, tick: Tick | None) -> Iterator[str]:
    pieces = read_text(corpus, tick)
    if level == "subword":
        return whole_parts(pieces, LONGEST_WORD)
    return whole_words(pieces) if level == "word" else pieces


def _encoded(
    corpus: Corpus, vocabulary: Vocabulary, unknown: str, tick: Tick | None
) -> Iterator[NDArray[np.int32]]:
    """The numbers of the corpus in pieces; at the end, a check that no file changed on the way."""
    if vocabulary.level == "byte":
        for block in read_bytes(corpus, tick):
            yield np.frombuffer(block, np.uint8).astype(np.int32)
    else:
        try:
            for piece in _pieces(corpus, vocabulary.level, tick):
                yield vocabulary.encode(piece, unknown)
        except UnknownSymbolError as error:  # it knows its place in the piece; people want it in the file
            raise UnknownSymbolError(error.symbol, len(vocabulary), _locate(corpus, error.symbol)) from None
    corpus.check_unchanged()


def _locate(corpus: Corpus, symbol: str) -> str:
    """Where ``symbol`` first stands in the corpus."""
    for source in corpus.files:
        line, column, offset = 1, 1, 0
        for piece in read_file(source.path):
            at = piece.find(symbol)
            before = piece if at < 0 else piece[:at]
            newline = before.rfind("\n")
            line, offset = line + before.count("\n"), offset + len(before)
            column = len(before) - newline if newline >= 0 else column + len(before)
            if at >= 0:
                return f"{source.path} line {line}, column {column} (offset {offset})"
    return corpus.name


def _ticker(progress: Progress | None, total: int) -> Tick | None:
    if progress is None:
        return None
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    return tick
