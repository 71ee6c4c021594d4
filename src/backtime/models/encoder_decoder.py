"""The encoder-decoder: one text in, another of any length out, with attention or without."""

from torch import Tensor, nn

from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.layers import recurrent
from backtime.models.memory import check_memory
from backtime.models.writer import Places, Writer

__all__ = ["EncoderDecoder", "EncoderDecoderConfig"]


class EncoderDecoder(Writer):
    """Symbols (T, B) -> layers -> their last state -> a decoder that goes on from it (arXiv 1409.3215)."""

    config: EncoderDecoderConfig

    def __init__(self, config: EncoderDecoderConfig) -> None:
        """Draw the initial weights."""
        check_memory(config)
        super().__init__()
        self.config = config
        E = config.embedding_size
        self.source = nn.Embedding(config.sources, E)
        self.target = nn.Embedding(config.targets + 1, E)
        self.encoder = recurrent(config, E)
        self.add_decoder(config)

    def read(self, source: tuple[Tensor, ...]) -> Places:
        """The outputs of the encoder for numbers (T, B), of which ``lengths`` (B,) are there."""
        numbers, lengths = source
        seen, state = self.encoder(self.dropped(self.source(numbers)), lengths=lengths)
        return Places(seen, lengths, state)
