"""``SequenceClassifier``: a label for a whole sequence."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets

from backtime.data.examples import Example
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError
from backtime.estimators.examples import ExampleEstimator
from backtime.models.file import ModelFile
from backtime.tasks.classify import KIND
from backtime.tasks.shared.examples import ExampleSettings


class SequenceClassifier(ClassifierMixin, ExampleEstimator):  # type: ignore[misc]
    """A reader: recurrent layers over the steps, one vector for the whole sequence, scores of the classes.

    ``X`` is a list of arrays or tables (T, I), of any lengths; an array (N, T, I), with ``lengths`` (N,)
    where shorter sequences are padded; an array or table (N, T), one number a step; a table whose index has
    two levels, sequence and step; or a list of texts. The parameters are options of
    ``backtime train --task classify``; ``options`` takes the others by name.

    After ``fit``: ``classes_``, ``model_`` (what a model file holds), ``n_features_in_`` where X had two
    axes.
    """

    kind, numbers = KIND, False

    def fit(self, X: Any, y: Any, lengths: Any = None) -> Self:
        """Train anew."""
        contents, labels = self._checked(X, y, lengths)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise UsageError(f"y has {len(self.classes_)} class; expected two and more")
        return self._learn(contents, labels, None, self.epochs)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, lengths: Any = None) -> Self:
        """Go on for one epoch; the first call says all ``classes``, and its data how numbers are scaled."""
        first = not hasattr(self, "model_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        contents, labels = self._checked(X, y, lengths, reset=first)
        if first:
            self.classes_ = np.unique(classes)
        strange = np.setdiff1d(labels, self.classes_)
        if strange.size:
            raise UsageError(
                f"y has {strange.tolist()[0]!r}; expected one of the classes {self.classes_.tolist()}"
            )
        return self._learn(contents, labels, None if first else self.model_, 1)

    def predict(self, X: Any, lengths: Any = None) -> NDArray[Any]:
        """The likeliest class of each sequence, (N,)."""
        best = self._scores(X, lengths).argmax(1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def predict_proba(self, X: Any, lengths: Any = None) -> NDArray[np.float64]:
        """The probability of each class, (N, K)."""
        z = self._scores(X, lengths)
        p = np.exp(z - z.max(1, keepdims=True))
        shares: NDArray[np.float64] = p / p.sum(1, keepdims=True)
        return shares

    def score(self, X: Any, y: Any, sample_weight: Any = None, lengths: Any = None) -> float:
        """The share of sequences whose class is found."""
        return float(accuracy_score(y, self.predict(X, lengths), sample_weight=sample_weight))

    def _checked(self, X: Any, y: Any, lengths: Any, reset: bool = True) -> tuple[list[Any], NDArray[Any]]:
        contents = self._contents(X, lengths, reset, y)
        check_classification_targets(y)
        labels = np.asarray(y).ravel()
        if len(labels) != len(contents):
            raise ValueError(f"y has {len(labels)} labels; expected {len(contents)}, as many as sequences")
        return contents, labels

    def _learn(self, contents: list[Any], labels: NDArray[Any], start: ModelFile | None, epochs: int) -> Self:
        names = [str(n) for n in np.searchsorted(self.classes_, labels)]
        return self._train(contents, names, start, epochs, drawn=names)

    def _encoding(self, training: list[Example], settings: ExampleSettings) -> dict[str, Any]:
        """With all classes, also those that the data of this call lack."""
        every = Lexicon("label", [str(n) for n in range(len(self.classes_))])
        return super()._encoding(training, settings) | {"labels": every.to_json()}
