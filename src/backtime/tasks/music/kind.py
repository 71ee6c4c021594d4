"""Music to the command line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.data.pianoroll import EXPECTED, KEYS, read_parts
from backtime.errors import UsageError
from backtime.models.file import ModelFile
from backtime.models.piano_config import PianoConfig
from backtime.runtime.piano import Piano
from backtime.tasks.base import Scores, TaskKind, Tell
from backtime.tasks.music.data import Pieces, read_pieces
from backtime.tasks.music.measuring import measure
from backtime.tasks.music.settings import Evaluation, MusicSettings, Sampling
from backtime.tasks.music.task import MusicTask
from backtime.tasks.shared.network_task import begun
from backtime.training.metrics import Metric

if TYPE_CHECKING:
    from backtime.insight.decisions import Question

EXAMPLES = """\
examples:
  backtime train chorales/ --task music --frames-per-beat 4
  backtime train JSB_Chorales.mat --task music --dropout 0.3 --frames-per-beat 1
  backtime sample runs/chorales-lstm-1 --length 128 --out new.mid"""


class MusicKind(TaskKind):
    """Music."""

    name = "music"
    settings, evaluation, sampling = MusicSettings, Evaluation, Sampling
    examples = EXAMPLES
    data = EXPECTED

    def metrics(self, settings: MusicSettings) -> tuple[Metric, ...]:
        """The negative log-likelihood of a frame."""
        return MusicTask.metrics

    def prepare(
        self,
        source: Path | None,
        settings: MusicSettings,
        folder: Path,
        encoding: dict[str, Any] | None,
        tell: Tell,
    ) -> Pieces:
        """The pieces; without a part to validate on the last ones are set aside."""
        return read_pieces(self.required(source), settings, encoding)

    def build(self, data: Pieces, settings: MusicSettings, start: ModelFile | None) -> MusicTask:
        """The network that the settings ask for."""
        from backtime.models.piano import Piano

        model = begun(Piano(PianoConfig(keys=KEYS, **settings.network())), start, settings)
        return MusicTask(model, data, settings)

    def fixed_by(self, start: ModelFile) -> dict[str, Any]:
        """Network and length of a frame."""
        fixed = self.settings.network_of(start)
        return fixed | {"frames_per_beat": start.encoding["roll"]["frames_per_beat"]}

    def evaluate(self, model: ModelFile, source: Path, options: Evaluation, folder: Path) -> Scores:
        """How likely pieces are to the model.

        - ``nll``: mean negative log-likelihood of a frame after the first of its piece, in nats; papers
          state this one
        - ``nll_with_first``: of all frames, the first one after silence
        - ``pieces`` and ``frames``
        """
        from backtime.models.saving import build_model

        parts = read_parts(source, model.encoding["roll"]["frames_per_beat"])
        pieces = parts.get("") or parts.get(options.part)
        if not pieces:
            raise UsageError(f"{source} has no part {options.part}; it has {', '.join(parts)}")
        total, later, frames, count = measure(build_model(model), pieces)
        if not math.isfinite(total):
            raise UsageError("the model's outputs are not finite numbers; its training has diverged")
        scores: Scores = {"nll": later / count} if count else {}
        return scores | {"nll_with_first": total / frames, "pieces": len(pieces), "frames": frames}

    def predictor(self, model: ModelFile) -> Piano:
        """The runtime's network, without PyTorch."""
        return Piano(model)

    def questions(self, model: ModelFile, source: Path, count: int) -> Iterator[Question]:
        """The likeliest key after each piece."""
        from backtime.tasks.questions.pieces import next_keys

        return next_keys(model, source, count)


KIND = MusicKind()
