"""The encoder-decoder: one text in, another of any length out, with attention or without."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.layers import dropped, recurrent
from backtime.models.memory import check_memory
from backtime.models.network import Network
from backtime.nn import SoftmaxCrossEntropy

__all__ = ["EncoderDecoder", "EncoderDecoderConfig", "PairBatch"]


class PairBatch(NamedTuple):
    """Pairs side by side, padded: numbers (T, B), and how many of them are there (B,).

    ``inputs`` begin with the begin symbol, ``outputs`` end with the end symbol; they have the same lengths.
    """

    sources: Tensor
    source_lengths: Tensor
    inputs: Tensor
    outputs: Tensor
    lengths: Tensor


class EncoderDecoder(Network):
    """Symbols (T, B) -> layers -> their last state -> layers that write -> softmax over the symbols.

    The decoder goes on from the encoder's state (Sutskever et al., arXiv 1409.3215). With attention an output
    h_t of the decoder looks at all outputs s_j of the encoder (Luong et al., arXiv 1508.04025, "general"):

        a_j = softmax over j of h_t . W s_j     c_t = sum_j a_j s_j     o_t = tanh(V [c_t, h_t] + b)

    What it saw is not fed back, so that all steps of a known text are computed in one call.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        """Draw the initial weights."""
        check_memory(config)
        super().__init__()
        self.config: EncoderDecoderConfig = config
        H, E = config.hidden_size, config.embedding_size
        self.source = nn.Embedding(config.sources, E)
        self.target = nn.Embedding(config.targets + 1, E)
        self.encoder, self.decoder = recurrent(config, E), recurrent(config, E)
        if config.attention:
            self.score = nn.Linear(H, H, bias=False)
            self.combine = nn.Linear(2 * H, H)
        self.head = SoftmaxCrossEntropy(H, config.targets + 1)

    def forward(self, batch: PairBatch) -> Tensor:
        """Outputs (T, B, H) for the head, of the steps of ``batch.inputs``."""
        read, state = self.encoder(self._dropped(self.source(batch.sources)), lengths=batch.source_lengths)
        h, _ = self.decoder(self._dropped(self.target(batch.inputs)), state, lengths=batch.lengths)
        if self.config.attention:
            h = self._attended(h, read, batch.source_lengths)
        return self._dropped(h)

    def loss(self, batch: PairBatch) -> Tensor:
        """Mean loss in nats a symbol, the end among them."""
        there = mask(batch.lengths, len(batch.outputs))
        loss: Tensor = self.head(self(batch)[there], batch.outputs[there])
        return loss

    @torch.no_grad()
    def guesses(self, batch: PairBatch) -> Tensor:
        """What the network itself would have written at each step, (T, B)."""
        found: Tensor = self.head.logits(self(batch)).argmax(-1)
        return found

    def _attended(self, h: Tensor, read: Tensor, lengths: Tensor) -> Tensor:
        keys, queries = self.score(read).permute(1, 2, 0), h.transpose(0, 1)  # (B, H, S), (B, T, H)
        scores = torch.bmm(queries, keys).masked_fill(~mask(lengths, len(read)).T[:, None], -torch.inf)
        seen = torch.bmm(torch.softmax(scores, 2), read.transpose(0, 1))
        out: Tensor = torch.tanh(self.combine(torch.cat([seen, queries], 2)))
        return out.transpose(0, 1)

    def _dropped(self, values: Tensor) -> Tensor:
        return dropped(values, self.config.dropout, self.training)


def mask(lengths: Tensor, T: int) -> Any:
    """(T, B) whether a step is there."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths
