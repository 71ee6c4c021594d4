"""``SequenceClassifier``: a label for a whole sequence."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from backtime.data.batching.buckets import Buckets
from backtime.data.batching.steps import Encoder
from backtime.data.classes import Examples, Labelled, draw_held_out, encoding_of
from backtime.data.examples import Example
from backtime.data.labelled import Reading
from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError
from backtime.estimators.sequences import is_texts, steps_of, texts_of
from backtime.estimators.training import fitted, seed_of
from backtime.models.file import ModelFile
from backtime.runtime.reader import Reader
from backtime.tasks.classify import KIND, ClassifySettings

AT_ONCE = 256  # sequences, when predicting


class SequenceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A reader: recurrent layers over the steps, one vector for the whole sequence, scores of the classes.

    ``X`` is a list of arrays or tables (T, I), of any lengths; an array (N, T, I), with ``lengths`` (N,)
    where shorter sequences are padded; an array or table (N, T), one number a step; or a list of texts. The
    parameters are options of ``backtime train --task classify``; ``options`` takes the others by name.

    After ``fit``: ``classes_``, ``model_`` (what a model file holds), ``n_features_in_`` where X had two
    axes.
    """

    def __init__(
        self,
        cell: str = "lstm",
        hidden_size: int = 64,
        layers: int = 1,
        bidirectional: bool = False,
        pooling: str = "last",
        dropout: float = 0.0,
        lr: float = 3e-3,
        batch_size: int = 32,
        epochs: int = 20,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        options: dict[str, Any] | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        """Keep the parameters; ``fit`` checks them."""
        self.cell = cell
        self.hidden_size = hidden_size
        self.layers = layers
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.dropout = dropout
        self.lr = lr
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.options = options
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, lengths: Any = None) -> Self:
        """Train anew."""
        contents, labels = self._checked(X, y, lengths)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise UsageError(f"y has {len(self.classes_)} class; expected two and more")
        return self._train(contents, labels, None, self.epochs)

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
        return self._train(contents, labels, None if first else self.model_, 1)

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

    def _checked(self, X: Any, y: Any, lengths: Any, reset: bool = True) -> tuple[list[Any], NDArray[Any]]:
        contents = self._contents(X, lengths, reset, y)
        check_classification_targets(y)
        labels = np.asarray(y).ravel()
        if len(labels) != len(contents):
            raise ValueError(f"y has {len(labels)} labels; expected {len(contents)}, as many as sequences")
        return contents, labels

    def _contents(self, X: Any, lengths: Any, reset: bool, y: Any = "no_validation") -> list[Any]:
        """Texts, or steps (T, I); an array or table (N, T) by scikit-learn's own checks."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        if isinstance(X, list | tuple) and not _is_table(X):
            return list(texts_of(X)) if is_texts(X) else list(steps_of(X, lengths))
        if getattr(X, "ndim", 0) == 3:
            return list(steps_of(X, lengths))
        if getattr(X, "ndim", 0) == 1 and len(X) and isinstance(np.asarray(X)[0], str):
            return list(texts_of(X))
        found = validate_data(self, X, reset=reset, dtype=np.float32) if isinstance(y, str) else (
            validate_data(self, X, y, reset=reset, dtype=np.float32)[0]
        )  # fmt: skip
        return list(steps_of(found[:, :, None], lengths))

    def _train(self, contents: list[Any], labels: NDArray[Any], start: ModelFile | None, epochs: int) -> Self:
        seed = seed_of(self.random_state)
        settings = self._settings(epochs, seed)
        names = [str(np.flatnonzero(self.classes_ == own)[0]) for own in labels]
        examples = [
            Example(own, name, f"sequence {n}")
            for n, (own, name) in enumerate(zip(contents, names, strict=True))
        ]
        held = draw_held_out(names, settings.validation_fraction, seed)
        training = [own for n, own in enumerate(examples) if n not in held]
        encoding = start.encoding if start else self._encoding(training, settings)
        encoder, lexicon = Encoder.from_json(encoding), Lexicon.from_json(encoding["labels"])
        parts = (training, [examples[n] for n in sorted(held)])
        own, others = (Examples.of(part, encoder, lexicon) for part in parts)
        data = Labelled(own, others, encoder, encoding)
        self.model_ = fitted(KIND, settings, lambda place: data, start, self.verbose)
        return self

    def _settings(self, epochs: int, seed: int) -> ClassifySettings:
        given = {
            name: value for name, value in self.get_params(deep=False).items() if name not in NOT_SETTINGS
        }
        return ClassifySettings(
            **{"word_dropout": 0.0, **given, **(self.options or {}), "epochs": epochs, "seed": seed}
        )

    def _encoding(self, training: list[Example], settings: ClassifySettings) -> dict[str, Any]:
        reading: Reading = settings.reading()
        found = encoding_of(training, reading, settings.min_count, settings.scale == "standard")
        every = [str(n) for n in range(len(self.classes_))]
        return found | {"labels": Lexicon("label", every).to_json()}

    def _scores(self, X: Any, lengths: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "model_")
        reader = Reader(self.model_)
        contents = self._contents(X, lengths, reset=False)
        records = [
            reader.encoder.encode(Example(own, None, f"sequence {n}")) for n, own in enumerate(contents)
        ]
        found = np.empty((len(records), len(self.classes_)))
        buckets = Buckets([len(record) for record in records], AT_ONCE, shuffle=False)
        for k in range(len(buckets)):
            chosen = buckets.batch(0, k)
            found[chosen] = reader.scores(reader.encoder.batch([records[n] for n in chosen]))
        return found


NOT_SETTINGS = ("options", "random_state", "verbose", "epochs")


def _is_table(X: Any) -> bool:
    """A list of rows of numbers is an array (N, T), as scikit-learn has it."""
    return bool(X) and isinstance(X[0], list | tuple) and bool(X[0]) and isinstance(X[0][0], int | float)
