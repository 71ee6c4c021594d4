"""A trained regressor on NumPy and the engine alone."""

from collections.abc import Sequence

from backtime.data.batching.steps import Scale
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.regressor_config import RegressorConfig
from backtime.runtime.example_reader import Encoded, ExampleReader
from backtime.runtime.predictor import Row


class Regressor(ExampleReader):
    """Gives each text or series a number."""

    def __init__(self, file: ModelFile) -> None:
        """Take the weights of a model file."""
        if not isinstance(file.config, RegressorConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that gives a number")
        super().__init__(file)
        scale = Scale.from_json(file.encoding["target"])
        self.mean, self.deviation = float(scale.mean[0]), float(scale.deviation[0])

    def answers(self, values: Sequence[Encoded]) -> list[list[Row]]:
        """For each example, text or array (T, I) its number."""
        scored = zip(values, self.scores_of(values), strict=True)
        return [
            [{"record": own.number, "value": float(z[0]) * self.deviation + self.mean}] for own, z in scored
        ]
