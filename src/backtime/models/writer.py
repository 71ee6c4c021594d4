"""What networks that write a text have in common: the decoder, its attention, its loss."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backtime.models.layers import dropped, recurrent
from backtime.models.network import Network
from backtime.models.writer_config import WriterConfig
from backtime.nn import SoftmaxCrossEntropy

State = Any  # h (L, B, H), or a pair of h and c


class TextBatch(NamedTuple):
    """What is read, and the texts that are to be written, side by side and padded.

    ``source`` is what the network's ``read`` takes. ``inputs`` (T, B) begin with the begin symbol,
    ``outputs`` (T, B) end with the end symbol; ``lengths`` (B,) says how many of them are there.
    """

    source: tuple[Tensor, ...]
    inputs: Tensor
    outputs: Tensor
    lengths: Tensor


class Places(NamedTuple):
    """What was read: places (S, B, H) to look at, how many are there (B,) unless all are, and a state."""

    seen: Tensor
    lengths: Tensor | None
    state: State


class Writer(Network):
    """Something that is read -> a state -> layers that write -> softmax over the symbols.

    The decoder begins with the state of what was read. With attention an output h_t of the decoder looks at
    all places s_j of it (Luong et al., arXiv 1508.04025, "general"):

        a_j = softmax over j of h_t . W s_j     c_t = sum_j a_j s_j     o_t = tanh(V [c_t, h_t] + b)

    What it saw is not fed back, so that all steps of a known text are computed in one call.
    """

    config: WriterConfig
    target: nn.Embedding

    def read(self, source: tuple[Tensor, ...]) -> Places:
        """What the decoder begins with and looks at."""
        raise NotImplementedError

    def add_decoder(self, config: WriterConfig) -> None:
        """Draw the initial weights of the decoder and its output; the embedding is the network's own."""
        H = config.hidden_size
        self.decoder = recurrent(config, config.embedding_size)
        if config.attention:
            self.score = nn.Linear(H, H, bias=False)
            self.combine = nn.Linear(2 * H, H)
        self.head = SoftmaxCrossEntropy(H, config.targets + 1)

    def forward(self, batch: TextBatch) -> Tensor:
        """Outputs (T, B, H) for the head, of the steps of ``batch.inputs``."""
        places = self.read(batch.source)
        vectors = self.dropped(self.target(batch.inputs))
        h, _ = self.decoder(vectors, places.state, lengths=batch.lengths)
        return self.dropped(self._looking(h, places))

    def loss(self, batch: TextBatch) -> Tensor:
        """Mean loss in nats a symbol, the end among them."""
        there = mask(batch.lengths, len(batch.outputs))
        loss: Tensor = self.head(self(batch)[there], batch.outputs[there])
        return loss

    @torch.no_grad()
    def guesses(self, batch: TextBatch) -> Tensor:
        """What the network itself would have written at each step, (T, B)."""
        found: Tensor = self.head.logits(self(batch)).argmax(-1)
        return found

    @torch.no_grad()
    def written(self, source: tuple[Tensor, ...], steps: int) -> Tensor:
        """The likeliest symbol at each of T steps after those before it, (T, B); what follows an end is void.

        Number 0, the unknown symbol, is never written.
        """
        places = self.read(source)
        state, B = places.state, places.seen.shape[1]
        last = torch.full((1, B), self.config.end, device=places.seen.device)
        found = []
        for _ in range(steps):
            h, state = self.decoder(self.target(last), state)
            logits = self.head.logits(self._looking(h, places))
            last = logits[..., 1:].argmax(-1) + 1
            found.append(last)
        return torch.cat(found)

    def dropped(self, values: Tensor) -> Tensor:
        """Values with ``config.dropout`` of them zeroed in training mode."""
        return dropped(values, self.config.dropout, self.training)

    def _looking(self, h: Tensor, places: Places) -> Tensor:
        if not self.config.attention:
            return h
        read, lengths = places.seen, places.lengths
        keys, queries = self.score(read).permute(1, 2, 0), h.transpose(0, 1)  # (B, H, S), (B, T, H)
        scores = torch.bmm(queries, keys)
        if lengths is not None:
            scores = scores.masked_fill(~mask(lengths, len(read)).T[:, None], -torch.inf)
        seen = torch.bmm(torch.softmax(scores, 2), read.transpose(0, 1))
        out: Tensor = torch.tanh(self.combine(torch.cat([seen, queries], 2)))
        return out.transpose(0, 1)


def mask(lengths: Tensor, T: int) -> Tensor:
    """(T, B) whether a step is there."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths
