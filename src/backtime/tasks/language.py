"""Language modelling: predict each symbol of a text from those before it."""

import math
from pathlib import Path

import torch

from backtime.data.batches import Chunk, Span, Streams, TokenRow
from backtime.data.vocabulary import Vocabulary
from backtime.errors import UsageError
from backtime.models.files import save_model
from backtime.models.language import LanguageConfig, LanguageModel
from backtime.training.progress import Measure
from backtime.training.settings import Settings
from backtime.training.task import Carried, tensors_of, with_tensors

MEASURES = {
    "char": Measure("bits/char", lambda loss: loss / math.log(2)),
    "byte": Measure("bits/byte", lambda loss: loss / math.log(2)),
    "word": Measure(
        "perplexity", lambda loss: math.exp(min(loss, 700.0))
    ),  # exp(710) is infinity's neighbour
}


class LanguageTask:
    """A model on a text: the training part in B streams, the validation part to its last token.

    Raises ``UsageError`` when a part is too short.
    """

    def __init__(
        self, model: LanguageModel, vocabulary: Vocabulary, parts: tuple[Span, Span], settings: Settings
    ) -> None:
        """``parts`` are the training and the validation part (see ``data.batches.split``)."""
        self.model, self.vocabulary, self.settings = model, vocabulary, settings
        self.device = next(model.parameters()).device
        self.streams = Streams(parts[0], settings.batch_size, settings.seq_length)
        self.held_out = parts[1] if len(parts[1]) else None
        if self.held_out is not None and len(self.held_out) < 2:
            raise UsageError(
                f"--validation-fraction {settings.validation_fraction} leaves 1 token to validate on; "
                "expected 0 or at least 2 tokens: raise it"
            )
        self.steps_per_epoch = len(self.streams)
        self.tokens_per_step = settings.batch_size * settings.seq_length

    def initial_state(self) -> Carried:
        """Zeros for each stream."""
        return self.model.initial_state(self.settings.batch_size)

    def loss(self, chunk: int, carried: Carried) -> tuple[torch.Tensor, Carried]:
        """Mean loss of a chunk of the training part, nats a token, and the state after it."""
        x, targets = on_device(self.streams.chunk(chunk), self.device)
        loss, after = self.model.loss(x, targets, carried)
        return loss, after

    def validate(self) -> float | None:
        """Mean loss of the validation part, nats a token, in eval mode, its state carried from zeros."""
        if self.held_out is None:
            return None
        return text_loss(self.model, self.held_out, self.settings.batch_size, self.settings.seq_length)

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        save_model(path, self.model, self.vocabulary)


def language_config(settings: Settings, vocabulary_size: int) -> LanguageConfig:
    """The network that the settings ask for."""
    return LanguageConfig(
        cell=settings.cell,
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        vocabulary_size=vocabulary_size,
        embedding_size=settings.embedding_size,
        dropout=settings.dropout,
        tie_weights=settings.tie_weights,
        activation=settings.activation,
        reset_after=settings.reset_after,
    )


def text_loss(model: LanguageModel, tokens: TokenRow, batch_size: int, seq_length: int) -> float:
    """Mean loss in nats a token of every token but the first, in eval mode.

    The text is cut into ``batch_size`` streams (fewer when it is short), each read from a zero state to
    its end.
    """
    streams = Streams(tokens, batch_size, seq_length, exact=True)
    device = next(model.parameters()).device
    carried, total = model.initial_state(streams.batch_size), 0.0
    model.eval()
    with torch.no_grad():
        for chunk in streams:
            x, targets = on_device(chunk, device)
            carried = first_streams(carried, x.shape[1])
            loss, carried = model.loss(x, targets, carried)
            total += loss.item() * targets.numel()
    return total / streams.targets_total


def first_streams(carried: Carried, B: int) -> Carried:
    """The state of the first ``B`` streams: the last chunk of an exact text may have fewer."""
    return with_tensors(carried, [tensor[..., :B, :].contiguous() for tensor in tensors_of(carried)])


def on_device(chunk: Chunk, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets (T, B) as tensors."""
    x, targets = chunk
    return torch.from_numpy(x).to(device), torch.from_numpy(targets).to(device)
