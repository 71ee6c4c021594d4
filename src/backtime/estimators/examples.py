"""What the estimators share that read whole sequences: their parameters, their input, their training."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from backtime.data.batching.buckets import Buckets
from backtime.data.classes import draw_held_out, parted
from backtime.data.examples import Example
from backtime.estimators.sequences import is_panel, is_table, is_texts, steps_of, texts_of
from backtime.estimators.training import fitted, seed_of, settings_of
from backtime.models.file import ModelFile
from backtime.runtime.example_reader import ExampleReader
from backtime.tasks.shared.example_kind import ExampleKind
from backtime.tasks.shared.examples import ExampleSettings

AT_ONCE = 256  # sequences, when predicting
NO_TARGET = "no_validation"  # as scikit-learn's ``validate_data`` says that there is no y


class ExampleEstimator(BaseEstimator):  # type: ignore[misc]
    """Recurrent layers over the steps, one vector for the whole sequence, an output layer.

    ``X`` is a list of arrays or tables (T, I), of any lengths; an array (N, T, I), with ``lengths`` (N,)
    where shorter sequences are padded; an array or table (N, T), one number a step; a table whose index has
    two levels, sequence and step; or a list of texts. The parameters are options of ``backtime train``;
    ``options`` takes the others by name.
    """

    kind: ClassVar[ExampleKind]
    numbers: ClassVar[bool]  # whether y is numbers

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

    def _contents(self, X: Any, lengths: Any, reset: bool, y: Any = NO_TARGET) -> list[Any]:
        """Texts, or steps (T, I); an array or table (N, T) by scikit-learn's own checks."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        if isinstance(X, list | tuple) and not is_table(X):
            return list(texts_of(X)) if is_texts(X) else list(steps_of(X, lengths))
        if getattr(X, "ndim", 0) == 3 or is_panel(X):
            return list(steps_of(X, lengths))
        if getattr(X, "ndim", 0) == 1 and len(X) and isinstance(np.asarray(X)[0], str):
            return list(texts_of(X))
        if isinstance(y, str):
            found = validate_data(self, X, reset=reset, dtype=np.float32)
        else:
            found, _ = validate_data(self, X, y, reset=reset, dtype=np.float32, y_numeric=self.numbers)
        return list(steps_of(found[:, :, None], lengths))

    def _train(
        self, contents: list[Any], answers: list[str], start: ModelFile | None, epochs: int, drawn: list[str]
    ) -> Self:
        """A run on sequences and what is right of them; of each of ``drawn`` a share is held out."""
        settings = self._settings(epochs)
        examples = [
            Example(own, answer, f"sequence {n}")
            for n, (own, answer) in enumerate(zip(contents, answers, strict=True))
        ]
        held_out = draw_held_out(drawn, settings.validation_fraction, settings.seed)
        parts = parted(examples, held_out)
        encoding = start.encoding if start else self._encoding(parts[0], settings)
        data = self.kind.numbered(parts, encoding)
        self.model_ = fitted(self.kind, settings, lambda place: data, start, self.verbose)
        return self

    def _encoding(self, training: list[Example], settings: ExampleSettings) -> dict[str, Any]:
        """How sequences and what is right of them become numbers, by the training part."""
        return self.kind.encoding(training, settings)

    def _settings(self, epochs: int) -> ExampleSettings:
        seed, defaults = seed_of(self.random_state), {"word_dropout": 0.0}
        found: ExampleSettings = settings_of(self, self.kind, defaults, epochs=epochs, seed=seed)
        return found

    def _scores(self, X: Any, lengths: Any) -> NDArray[np.float64]:
        """The outputs (N, K) of the network."""
        check_is_fitted(self, "model_")
        reader = ExampleReader(self.model_)
        contents = self._contents(X, lengths, reset=False)
        records = [
            reader.encoder.encode(Example(own, None, f"sequence {n}")) for n, own in enumerate(contents)
        ]
        found = np.empty((len(records), len(self.model_.tensors["head.bias"])))
        buckets = Buckets([len(record) for record in records], AT_ONCE, shuffle=False)
        for k in range(len(buckets)):
            chosen = buckets.batch(0, k)
            found[chosen] = reader.scores(reader.encoder.batch([records[n] for n in chosen]))
        return found
