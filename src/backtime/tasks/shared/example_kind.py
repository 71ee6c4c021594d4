"""What classify and regress are to the command line: the same, but for what an answer is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from backtime.data.batching.steps import Encoder
from backtime.data.classes import Answered, Examples, read_all, read_parts
from backtime.data.examples import Example
from backtime.data.labelled import Reading
from backtime.models.file import ModelFile
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.shared import scores
from backtime.tasks.shared.examples import ExampleSettings, ExampleTask, fixed_reading
from backtime.tasks.shared.network_task import begun

Parts = tuple[list[Example], list[Example]]


class ExampleKind(TaskKind):
    """A task that gives one answer about a whole text, series, image or clip.

    A subclass says how answers become numbers, which network learns them and how it is measured.
    """

    task: ClassVar[type[ExampleTask]]
    answered: ClassVar[type[Answered]]
    column: ClassVar[str]  # the setting that names the column of answers
    by_label: ClassVar[bool]  # whether a share of each label is held out, or of all examples

    def check_trainable(self, training: list[Example], source: Path) -> None:
        """Raise ``UsageError`` where nothing can be learned from the examples of ``source``."""

    def encoding(self, training: list[Example], settings: Any) -> dict[str, Any]:
        """How examples and answers become numbers, by the training part."""
        raise NotImplementedError

    def encoded(self, part: list[Example], encoder: Encoder, encoding: dict[str, Any]) -> Examples:
        """Examples and their answers as numbers."""
        raise NotImplementedError

    def network(self, settings: Any, data: Any) -> Any:
        """A new network."""
        raise NotImplementedError

    def measured(self, network: Any, examples: Examples, encoding: dict[str, Any], options: Any) -> Scores:
        """How good the network is on examples."""
        raise NotImplementedError

    def numbered(self, parts: Parts, encoding: dict[str, Any]) -> Answered:
        """Both parts as numbers."""
        encoder = Encoder.from_json(encoding)
        own, others = (self.encoded(part, encoder, encoding) for part in parts)
        return self.answered(own, others, encoder, encoding)

    def prepare(
        self,
        source: Path | None,
        settings: ExampleSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Answered:
        """All examples, in memory."""
        scores.check_installed("sklearn.metrics")
        source, share = self.required(source), settings.validation_fraction
        reading = settings.reading()
        parts = read_parts(source, settings.valid_path, share, settings.seed, reading, self.by_label)
        if encoding is None:
            self.check_trainable(parts[0], source)
            encoding = self.encoding(parts[0], settings)
        return self.numbered(parts, encoding)

    def build(self, data: Answered, settings: ExampleSettings, start: ModelFile | None) -> ExampleTask:
        """The network that the settings ask for, and the data that it is trained on."""
        network = begun(self.network(settings, data), start, settings)
        return self.task(network, data, settings, self.metrics(settings))

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and reading."""
        return fixed_reading(start) | {self.column: Reading.from_json(start.encoding["reading"]).label}

    def evaluate(self, model: ModelFile, source: Path, options: Any, folder: Path) -> Scores:
        """What ``measured`` says of the model, and how many examples there were."""
        from backtime.models.saving import build_model

        encoder, reading = Encoder.from_json(model.encoding), Reading.from_json(model.encoding["reading"])
        examples = self.encoded(read_all(source, reading), encoder, model.encoding)
        found = self.measured(build_model(model), examples, model.encoding, options)
        return {**found, "examples": len(examples.records)}
