"""``SequenceTagger``: a tag for every word of a sentence."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from backtime.data.columns import Places, Sentence
from backtime.data.lexicon import closed
from backtime.data.tagged import Lexicons, Tagged, count_lexicons, read_lexicons, tag_numbers
from backtime.errors import UsageError
from backtime.estimators.training import fitted, seed_of, settings_of
from backtime.models.file import ModelFile
from backtime.runtime.tagger import Tagger
from backtime.tasks.tag import KIND, TagSettings


class SequenceTagger(BaseEstimator):  # type: ignore[misc]
    """Words and their letters, layers in both directions, a tag for each word; ``crf`` scores neighbours.

    ``X`` is a list of sentences, each a list of words or a text whose words stand between spaces; ``y`` a
    list of as many tags for each. The parameters are options of ``backtime train --task tag``; ``options``
    takes the others by name. After ``fit``: ``classes_`` and ``model_``.
    """

    def __init__(
        self,
        cell: str = "lstm",
        hidden_size: int = 100,
        word_size: int = 100,
        crf: bool = False,
        dropout: float = 0.5,
        lr: float = 3e-3,
        batch_size: int = 32,
        epochs: int = 12,
        validation_fraction: float = 0.0,
        options: dict[str, Any] | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        """Keep the parameters; ``fit`` checks them."""
        self.cell = cell
        self.hidden_size = hidden_size
        self.word_size = word_size
        self.crf = crf
        self.dropout = dropout
        self.lr = lr
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.options = options
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Sequence[Any], y: Sequence[Sequence[str]]) -> Self:
        """Train anew."""
        return self._learn(_sentences(X, y), self._settings(self.epochs), None, None)

    def partial_fit(
        self, X: Sequence[Any], y: Sequence[Sequence[str]], classes: Sequence[str] | None = None
    ) -> Self:
        """Go on for one epoch; the first call says all tags, ``classes``, and its data the known words."""
        sentences, settings = _sentences(X, y), self._settings(1)
        if hasattr(self, "model_"):
            return self._learn(sentences, settings, read_lexicons(self.model_.encoding), self.model_)
        if classes is None:
            raise UsageError("classes is missing; expected all tags at the first call of partial_fit")
        lexicons = count_lexicons(sentences, settings.min_count) | {"tags": closed("tag", classes)}
        return self._learn(sentences, settings, lexicons, None)

    def predict(self, X: Sequence[Any]) -> list[list[str]]:
        """The tags of each sentence."""
        check_is_fitted(self, "model_")
        tagger = Tagger(self.model_)
        words = [_words(own, f"X[{n}]") for n, own in enumerate(X)]
        return [list(map(str, row["tags"])) for row in tagger.predict(words)]

    def predict_proba(self, X: Sequence[Any]) -> list[NDArray[np.float64]]:
        """Of each sentence the probabilities (T, K) of the tags ``classes_`` at each word."""
        check_is_fitted(self, "model_")
        tagger = Tagger(self.model_)
        return [tagger.shares(_words(own, f"X[{n}]")) for n, own in enumerate(X)]

    def score(self, X: Sequence[Any], y: Sequence[Sequence[str]]) -> float:
        """The share of right tags."""
        right = [tag for own in _sentences(X, y) for tag in own.tags]
        found = [tag for own in self.predict(X) for tag in own]
        return sum(a == b for a, b in zip(right, found, strict=True)) / len(right)

    def _learn(
        self,
        sentences: list[Sentence],
        settings: TagSettings,
        lexicons: Lexicons | None,
        start: ModelFile | None,
    ) -> Self:
        border = len(sentences) - round(len(sentences) * settings.validation_fraction)
        lexicons = lexicons or count_lexicons(sentences[:border], settings.min_count)
        for own in sentences:
            tag_numbers(own, lexicons)
        data = Tagged(sentences[:border], sentences[border:], lexicons, Places())
        self.classes_ = list(lexicons["tags"].symbols)
        self.model_ = fitted(KIND, settings, lambda place: data, start, self.verbose)
        return self

    def __sklearn_tags__(self) -> Any:
        """No table of numbers, but texts."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        tags.target_tags.required = True
        return tags

    def _settings(self, epochs: int) -> TagSettings:
        found: TagSettings = settings_of(self, KIND, epochs=epochs, seed=seed_of(self.random_state))
        return found


def _words(own: Any, place: str) -> list[str]:
    if isinstance(own, str):
        return own.split()
    if not isinstance(own, Sequence) or not all(isinstance(word, str) for word in own):
        raise UsageError(f"{place} is a {type(own).__name__}; expected a text, or a list of words")
    return list(own)


def _sentences(X: Sequence[Any], y: Sequence[Sequence[str]]) -> list[Sentence]:
    for name, value in (("X", X), ("y", y)):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise UsageError(f"{name} is a {type(value).__name__}; expected a list, an item a sentence")
    if len(X) != len(y):
        raise UsageError(f"X has {len(X)} sentences, y {len(y)}; expected as many")
    found = []
    for n, (own, tags) in enumerate(zip(X, y, strict=True)):
        words = _words(own, f"X[{n}]")
        if not isinstance(tags, Sequence) or isinstance(tags, str):
            raise UsageError(f"y[{n}] is a {type(tags).__name__}; expected a list of tags")
        if not words or len(words) != len(tags):
            raise UsageError(
                f"X[{n}] has {len(words)} words, y[{n}] {len(tags)} tags; expected as many, and one"
            )
        found.append(Sentence(words, list(tags), f"sentence {n}"))
    return found
