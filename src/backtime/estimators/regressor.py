"""``SequenceRegressor``: a number for a whole sequence."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from backtime.data.batching.steps import Scale
from backtime.estimators.examples import ExampleEstimator
from backtime.models.file import ModelFile
from backtime.tasks.regress import KIND


class SequenceRegressor(RegressorMixin, ExampleEstimator):  # type: ignore[misc]
    """Recurrent layers over the steps, one vector for the whole sequence, a number from it.

    ``X`` is what ``SequenceClassifier`` takes, ``y`` numbers (N,). The loss is the mean squared error of
    ``y`` scaled to mean 0 and deviation 1. The parameters are options of ``backtime train --task regress``;
    ``options`` takes the others by name. After ``fit``: ``model_`` (what a model file holds), and
    ``n_features_in_`` where X had two axes.
    """

    kind, numbers = KIND, True

    def fit(self, X: Any, y: Any, lengths: Any = None) -> Self:
        """Train anew."""
        contents, targets = self._checked(X, y, lengths, reset=True)
        return self._learn(contents, targets, None, self.epochs)

    def partial_fit(self, X: Any, y: Any, lengths: Any = None) -> Self:
        """Go on for one epoch; the data of the first call say how numbers are scaled."""
        first = not hasattr(self, "model_")
        contents, targets = self._checked(X, y, lengths, reset=first)
        return self._learn(contents, targets, None if first else self.model_, 1)

    def predict(self, X: Any, lengths: Any = None) -> NDArray[np.float64]:
        """The number of each sequence, (N,)."""
        z = self._scores(X, lengths)[:, 0]
        scale = Scale.from_json(self.model_.encoding["target"])
        found: NDArray[np.float64] = z * scale.deviation + scale.mean
        return found

    def score(self, X: Any, y: Any, sample_weight: Any = None, lengths: Any = None) -> float:
        """R^2: 1 is right everywhere, 0 as good as the mean of ``y``."""
        return float(r2_score(y, self.predict(X, lengths), sample_weight=sample_weight))

    def _checked(self, X: Any, y: Any, lengths: Any, reset: bool) -> tuple[list[Any], NDArray[np.float64]]:
        contents = self._contents(X, lengths, reset, y)
        targets = np.asarray(y, np.float64).ravel()
        if len(targets) != len(contents):
            raise ValueError(f"y has {len(targets)} numbers; expected {len(contents)}, as many as sequences")
        return contents, targets

    def _learn(
        self, contents: list[Any], targets: NDArray[np.float64], start: ModelFile | None, epochs: int
    ) -> Self:
        answers = [repr(own) for own in targets.tolist()]
        return self._train(contents, answers, start, epochs, drawn=[""] * len(answers))
