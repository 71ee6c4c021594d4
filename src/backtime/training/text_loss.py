"""The loss of a language model on a text, read from its start to its end."""

from typing import Any

from backtime.data.batching.streams import Streams, TokenRow
from backtime.training.carried import first_sequences
from backtime.training.devices import measuring, tensors


def text_loss(model: Any, tokens: TokenRow, batch_size: int, seq_length: int) -> float:
    """Mean loss in nats a token of every token but the first, in eval mode.

    The text is cut into ``batch_size`` streams (fewer when it is short), each read from a zero state to
    its end.
    """
    streams = Streams(tokens, batch_size, seq_length, exact=True)
    carried, total = model.initial_state(streams.batch_size), 0.0
    with measuring(model):
        for chunk in streams:
            x, targets = tensors(chunk, model)
            carried = first_sequences(carried, x.shape[1])
            loss, carried = model.loss(x, targets, carried)
            total += loss.item() * targets.numel()
    return total / streams.targets_total
