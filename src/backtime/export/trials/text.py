"""Pieces of a text as numbers: of a file, of a folder, or of the tokens that a run folder has kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.text.corpus import find_corpus
from backtime.data.text.readers import read_bytes, read_text
from backtime.data.text.token_file import TokenFile
from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError

LENGTHS = (50, 100, 33, 64, 1, 17, 80, 9, 3, 70, 25, 41)  # of the pieces, one after the other
CHARACTERS = 20_000  # of the text that are read for them: of words there are some thousand


def pieces_of_text(encoding: dict[str, Any], source: Path) -> Iterator[Any]:
    """Pieces (T,) of the beginning of a text; raises ``UsageError`` at a symbol that the model lacks."""
    tokens = _tokens(Vocabulary.from_json(encoding), source)
    at = 0
    for length in LENGTHS:
        if at < len(tokens):
            yield np.asarray(tokens[at : at + length], np.int64)
        at += length


def _tokens(vocabulary: Vocabulary, source: Path) -> Any:
    if (source / "tokens.bin").is_file():
        kept = TokenFile(source)
        if kept.vocabulary != vocabulary:
            raise UsageError(f"{source} has tokens of another vocabulary; expected those of the model")
        return kept[: sum(LENGTHS)]
    corpus = find_corpus(source, vocabulary.level)
    if vocabulary.level == "byte":
        return np.frombuffer(next(read_bytes(corpus))[:CHARACTERS], np.uint8)
    return vocabulary.encode(next(read_text(corpus))[:CHARACTERS])
