"""``SequenceTagger``: a tag for every word of a sentence."""

from collections.abc import Sequence
from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from backtime.data.columns import Places, Sentence
from backtime.data.tagged import Tagged, count_lexicons
from backtime.errors import UsageError
from backtime.estimators.training import fitted, seed_of
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
        settings = self._settings()
        sentences = _sentences(X, y)
        border = len(sentences) - round(len(sentences) * settings.validation_fraction)
        lexicons = count_lexicons(sentences[:border], settings.min_count)
        data = Tagged(sentences[:border], sentences[border:], lexicons, Places())
        self.classes_ = list(lexicons["tags"].symbols)
        self.model_ = fitted(KIND, settings, lambda place: data, None, self.verbose)
        return self

    def predict(self, X: Sequence[Any]) -> list[list[str]]:
        """The tags of each sentence."""
        check_is_fitted(self, "model_")
        tagger = Tagger(self.model_)
        return [list(map(str, row["tags"])) for row in tagger.predict(X)]

    def score(self, X: Sequence[Any], y: Sequence[Sequence[str]]) -> float:
        """The share of right tags."""
        right = [tag for own in _sentences(X, y) for tag in own.tags]
        found = [tag for own in self.predict(X) for tag in own]
        return sum(a == b for a, b in zip(right, found, strict=True)) / len(right)

    def _settings(self) -> TagSettings:
        left_out = ("options", "random_state", "verbose")
        given = {name: value for name, value in self.get_params(deep=False).items() if name not in left_out}
        return TagSettings(**{**given, **(self.options or {}), "seed": seed_of(self.random_state)})


def _sentences(X: Sequence[Any], y: Sequence[Sequence[str]]) -> list[Sentence]:
    if len(X) != len(y):
        raise UsageError(f"X has {len(X)} sentences, y {len(y)}; expected as many")
    found = []
    for n, (own, tags) in enumerate(zip(X, y, strict=True)):
        words = own.split() if isinstance(own, str) else list(own)
        if not words or len(words) != len(tags):
            raise UsageError(
                f"X[{n}] has {len(words)} words, y[{n}] {len(tags)} tags; expected as many, and one"
            )
        found.append(Sentence(words, list(tags), f"sentence {n}"))
    return found
