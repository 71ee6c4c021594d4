"""The captioner: an image in, a text of any length out, with attention to places of the image or without."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.models.captioner_config import FLOOR, SIDE, CaptionerConfig
from backtime.models.memory import check_memory
from backtime.models.writer import Places, State, Writer

__all__ = ["Captioner", "CaptionerConfig"]

POSITION_DEVIATION = 0.1  # of the initial vectors that say where a place is


class Captioner(Writer):
    """Images (B, K, R, C) -> blocks of convolution -> the state with which the decoder begins.

    A block is f <- the largest of each 2 x 2 of relu(3 x 3 convolution of f), with zeros around the image.
    What is left, places f_j (F,), is brought to mean 0 and deviation 1 for each image: as it was all
    positive, a few steps of training would carry every unit to the flat ends of tanh. All places together
    give the state, h_0 = tanh(U [f_1 .. f_P] + d). With attention each step of the writing looks at
    s_j = G f_j + g + p_j, where p_j says where the place is.
    """

    config: CaptionerConfig

    def __init__(self, config: CaptionerConfig) -> None:
        """Draw the initial weights."""
        check_memory(config)
        super().__init__()
        self.config = config
        sizes = [config.channels, *(config.filters << block for block in range(config.blocks))]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(below, own, SIDE, padding=SIDE // 2) for below, own in itertools.pairwise(sizes)
        )
        self.start = nn.Linear(config.places * config.features, config.starts)
        if config.attention:
            self.place = nn.Linear(config.features, config.hidden_size)
            self.position = nn.Parameter(torch.randn(config.places, config.hidden_size) * POSITION_DEVIATION)
        self.target = nn.Embedding(config.targets + 1, config.embedding_size)
        self.add_decoder(config)

    def read(self, source: tuple[Tensor, ...]) -> Places:
        """The places of scaled images (B, K, R, C)."""
        (f,) = source
        for convolution in self.convolutions:
            f = functional.max_pool2d(functional.relu(convolution(f)), 2)
        f = functional.layer_norm(f, f.shape[1:], eps=FLOOR)
        places = f.flatten(2).permute(2, 0, 1)  # (P, B, F)
        if self.config.attention:
            places = self.place(places) + self.position[:, None]
        return Places(places, None, self._state(torch.tanh(self.start(self.dropped(f.flatten(1))))))

    def _state(self, numbers: Tensor) -> State:
        """h (L, B, H), or h and c, of numbers (B, S L H)."""
        config = self.config
        parts = numbers.view(len(numbers), -1, config.layers, config.hidden_size).permute(1, 2, 0, 3)
        found = [part.contiguous() for part in parts]
        return found[0] if len(found) == 1 else tuple(found)
