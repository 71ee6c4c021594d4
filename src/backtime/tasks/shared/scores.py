"""How good labels are, by scikit-learn and seqeval: the optional extra ``metrics``."""

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError
from backtime.files import atomic_write

PICTURES = (".svg", ".png", ".pdf")
Labels = Sequence[Any] | NDArray[Any]


def accuracy(right: Labels, found: Labels) -> float:
    """The share of labels that were found."""
    return float(_library("sklearn.metrics").accuracy_score(right, found))


def macro_f1(right: Labels, found: Labels) -> float:
    """F1 of each label, the mean over the labels that occur; 0 for a label that was never found."""
    return float(_library("sklearn.metrics").f1_score(right, found, average="macro", zero_division=0))


def number_scores(right: NDArray[Any], found: NDArray[Any]) -> dict[str, float]:
    """Mean squared and mean absolute error, and of two numbers and more R^2."""
    library = _library("sklearn.metrics")
    names = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "r2": "r2_score"}
    if len(right) < 2:
        del names["r2"]
    return {name: float(getattr(library, own)(right, found)) for name, own in names.items()}


def confusion(right: Labels, found: Labels, labels: Labels) -> Any:
    """How often the label of a row was taken for that of a column."""
    return _library("sklearn.metrics").confusion_matrix(right, found, labels=labels)


def entity_scores(right: list[list[str]], found: list[list[str]]) -> dict[str, float]:
    """Precision, recall and F1 of entities, tagged ``B-X I-X O``: one counts when all its words are right.

    The rules are those of CoNLL-2000's conlleval, which seqeval follows.
    """
    library = _library("seqeval.metrics")
    names = ("precision", "recall", "f1")
    return {name: float(getattr(library, f"{name}_score")(right, found, zero_division=0)) for name in names}


NGRAMS = 4  # words, of BLEU


def translation_scores(
    written: list[str], references: list[list[str]], ngrams: int = NGRAMS
) -> dict[str, float]:
    """BLEU and chrF of a corpus, by sacrebleu, where each text may have several references.

    Texts are compared as they are, words with a space between them. Post, arXiv 1804.08771; Popovic 2015.
    BLEU is the geometric mean over runs of 1 to ``ngrams`` words.
    """
    library = _library("sacrebleu")
    most = max(map(len, references))
    rows = [[own[n] if n < len(own) else None for own in references] for n in range(most)]
    measure = library.BLEU(tokenize="none", force=True, max_ngram_order=ngrams)
    bleu = measure.corpus_score(written, rows)
    return {"bleu": float(bleu.score), "chrf": float(library.corpus_chrf(written, rows).score)}


def ngrams_of(references: list[list[str]]) -> int:
    """How long the runs of words of BLEU can be: 4, or the longest reference where all are shorter.

    BLEU of texts of one word would be 0 otherwise, however right they are.
    """
    return min(NGRAMS, max(len(text.split()) for own in references for text in own) or 1)


def transcript_scores(right: list[str], found: list[str]) -> dict[str, float]:
    """Word and character error rate, by jiwer: insertions, deletions and exchanges over what is right."""
    library = _library("jiwer")
    return {"wer": float(library.wer(right, found)), "cer": float(library.cer(right, found))}


def spearman(right: Labels, found: Labels) -> float:
    """Spearman's rank correlation, by SciPy; 0 where one side is constant and has no order."""
    if min(np.ptp(right), np.ptp(found)) == 0:
        return 0.0
    return float(_library("scipy.stats").spearmanr(right, found).statistic)


def check_installed(*names: str) -> None:
    """Raise ``UsageError`` where the libraries are not there, before anything is trained."""
    for name in names or ("sklearn.metrics", "seqeval.metrics"):
        _library(name)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(f"scores need {name.split('.')[0]}: pip install 'backtime[metrics]'") from error


def draw_confusion(right: Labels, found: Labels, names: list[str], path: Path) -> None:
    """Write the confusion matrix as a picture: rows are the right labels, each cell a share of its row."""
    if path.suffix.lower() not in PICTURES:
        raise UsageError(f"--picture {path} has the ending {path.suffix!r}; expected {', '.join(PICTURES)}")
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise UsageError("--picture needs matplotlib: pip install matplotlib") from error
    matplotlib.use("agg")  # no window
    figure = _matrix(confusion(right, found, range(len(names))), names)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:].lower(), dpi=120)
    with atomic_write(path) as file:
        file.write(picture.getvalue())


def _matrix(counts: Any, names: list[str]) -> Any:
    from matplotlib.figure import Figure

    side = 2.5 + 0.45 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("right")
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=8)
    return figure
