"""Language modelling to the trainer: chunks of a text, their loss, its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtime.data.batching.streams import Streams, TokenRow, shifted, split
from backtime.data.text.parts import Text
from backtime.errors import UsageError
from backtime.tasks.language.measuring import metrics_of
from backtime.tasks.language.settings import LanguageSettings
from backtime.tasks.shared.network_task import NetworkTask
from backtime.training.task import Carried

if TYPE_CHECKING:
    import torch

    from backtime.models.aligned import LanguageModel


class LanguageTask(NetworkTask):
    """A model on a text: the training part in B streams, the validation part to its last token.

    Raises ``UsageError`` when a part is too short.
    """

    name = "language"
    network: LanguageModel
    data: Text

    def __init__(self, model: LanguageModel, data: Text, settings: LanguageSettings) -> None:
        """Split the text and lay the streams out."""
        super().__init__(model, data)
        self.settings = settings
        training, held_out = split(data.tokens, 0.0 if data.held_out else settings.validation_fraction)
        self.training, self.streams = training, self._streams(training, 0)
        self.held_out: TokenRow | None = data.held_out or (held_out if len(held_out) else None)
        if data.held_out is None and self.held_out is not None and len(self.held_out) < 2:
            raise UsageError(
                f"--validation-fraction {settings.validation_fraction} leaves 1 token to validate on; "
                "expected 0 or at least 2 tokens: raise it"
            )
        self.steps_per_epoch = len(self.streams)
        if settings.loss_sum_over_time:
            self.gradient_scale = float(settings.seq_length)  # every chunk has so many steps
        self.metrics = metrics_of(settings)

    def initial_state(self) -> Carried:
        """Zeros for each stream."""
        return self.network.initial_state(len(self.streams.columns))

    def loss(self, epoch: int, step: int, carried: Carried) -> tuple[torch.Tensor, Carried, int]:
        """Mean loss of a chunk of the training part, nats a token; every epoch reads the same chunks.

        With the loss at their last step alone they begin a token later in each epoch.
        """
        from backtime.training.devices import tensors

        streams = self.streams if self.settings.recurrence != "last" else self._streams(self.training, epoch)
        x, targets = tensors(streams.chunk(step), self.network)
        if self.settings.recurrence == "last":
            loss, after = self.network.last_loss(x, targets[-1], carried)
            return loss, after, targets.shape[1]
        loss, after = self.network.loss(x, targets, carried, self.settings.ar, self.settings.tar)
        return loss, after, targets.numel()

    def _streams(self, training: TokenRow, epoch: int) -> Streams:
        """The chunks of an epoch."""
        if self.settings.recurrence == "last":
            training = shifted(training, self.settings.seq_length, epoch)
        return Streams(training, self.settings.batch_size, self.settings.seq_length)

    def look(self, epoch: int, step: int) -> dict[str, float | str | None]:
        """The gradient through time of a stream of a chunk."""
        from backtime.insight.language.short import SEQUENCES, short_form
        from backtime.training.devices import tensors

        x, targets = tensors(self.streams.chunk(step), self.network)
        return short_form(self.network, x[:, :SEQUENCES], targets[:, :SEQUENCES])

    def validate(self) -> dict[str, float]:
        """Mean loss of the validation part, nats a token, in eval mode, its state carried from zeros."""
        from backtime.training.text_loss import text_loss

        if self.held_out is None:
            return {}
        sizes = self.settings.batch_size, self.settings.seq_length
        return {"loss": text_loss(self.network, self.held_out, *sizes)}
