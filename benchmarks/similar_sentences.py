"""English sentences with the same French translation: ``--task similar`` beside a bag of words.

``python -m benchmarks.similar_sentences FILE`` reads tab-separated pairs of English and French (a text file,
or the ``fra.txt`` in a zip), takes English sentences that share a translation for pairs, and parts them by a
hash so that no sentence is in two parts. It trains by the command that docs/results.md shows, and prints the
recall of ``backtime evaluate`` on the test part, beside that of the cosine of scikit-learn's TF-IDF vectors,
which have counted the words of all parts. Both are ranked by the same function.
"""

import argparse
import io
import json
import shlex
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from backtime.cli.main import main as backtime
from backtime.data.pair_parts import draw_held_out
from backtime.data.scored_pairs import ScoredPair, read_scored
from backtime.data.similar import Related
from backtime.nn.accelerate import restore
from backtime.tasks.similar import KIND
from backtime.tasks.similar.retrieval import ranks, recall

TEST, SEED = 0.15, 0  # the share of the pairs to test on, and of its hash
COMMAND = (
    "train train.tsv --task similar --bidirectional --hidden-size 256 --embedding-size 200 --epochs 20 "
    "--schedule cosine"
)
TOKENS = {"scikit-learn's words": r"(?u)\b\w\w+\b", "all words and signs": r"\w+|[^\w\s]"}


def sentences(source: Path) -> Iterator[tuple[str, str]]:
    """English and French."""
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            text = archive.read("fra.txt").decode()
    else:
        text = source.read_text()
    for line in text.splitlines():
        english, french = line.split("\t")[:2]
        yield english, french


def paraphrases(rows: list[tuple[str, str]]) -> list[ScoredPair]:
    """Every two different English sentences with the same French one, sorted."""
    same: dict[str, set[str]] = defaultdict(set)
    for english, french in rows:
        same[french].add(english)
    pairs = {pair for group in same.values() for pair in combinations(sorted(group), 2)}
    return [ScoredPair(*pair, "", "") for pair in sorted(pairs)]


def write(path: Path, pairs: list[ScoredPair]) -> None:
    path.write_text("".join(f"{own.first}\t{own.second}\n" for own in pairs))


def prepare(source: Path, folder: Path) -> None:
    """``train.tsv`` and ``test.tsv``."""
    pairs = paraphrases(list(sentences(source)))
    aside = draw_held_out(pairs, TEST, SEED)
    for name, wanted in (("train.tsv", False), ("test.tsv", True)):
        write(folder / name, [own for own, out in zip(pairs, aside, strict=True) if out == wanted])


def bag_of_words(folder: Path, pattern: str) -> dict[str, float]:
    """Recall of the cosine of TF-IDF vectors."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    parts = [list(read_scored(folder / name)) for name in ("test.tsv", "train.tsv")]
    texts, others = (list(dict.fromkeys(t for own in part for t in own[:2])) for part in parts)
    numbers = {text: n for n, text in enumerate(texts)}
    first, second = (np.array([numbers[own[side]] for own in parts[0]]) for side in (0, 1))
    table = TfidfVectorizer(token_pattern=pattern).fit(texts + others).transform(texts)
    related = Related(first, second, len(texts))
    return recall(ranks(lambda some: (table[some] @ table.T).toarray(), related))


def torch_layers() -> Any:
    """A block in which the task trains the same network, from the same weights, on the layers of torch.nn."""
    build = KIND.build

    def swapped(*arguments: Any) -> Any:
        task = build(*arguments)
        restore(task.model, everything=True)
        return task

    return mock.patch.object(KIND, "build", swapped)


def train(folder: Path, options: str) -> str:
    """Train by the command and measure on the test part; what came of it, in a line."""
    words = COMMAND.replace("train.tsv", str(folder / "train.tsv"))
    start = time.perf_counter()
    assert backtime([*shlex.split(f"{words} {options}"), "--out", str(folder / "run")]) == 0
    spent, told = time.perf_counter() - start, io.StringIO()
    with redirect_stdout(told):
        assert backtime(["evaluate", str(folder / "run"), str(folder / "test.tsv"), "--json"]) == 0
    return f"trained in {spent:.0f} s: {json.loads(told.getvalue())}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="tab-separated English and French, or a zip of fra.txt")
    parser.add_argument("--folder", type=Path, help="where parts and run go (default: a temporary one)")
    parser.add_argument("--options", default="", help="more words for the command")
    parser.add_argument("--layers-from", choices=("backtime", "torch"), default="backtime")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = args.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(args.source, folder)
        for name, pattern in TOKENS.items():
            print(f"TF-IDF, {name}: {bag_of_words(folder, pattern)}", flush=True)
        with torch_layers() if args.layers_from == "torch" else nullcontext():
            print(f"layers of {args.layers_from}, {train(folder, args.options)}")


if __name__ == "__main__":
    main()
