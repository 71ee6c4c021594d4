"""A trained captioner on NumPy and the engine alone: convolution by one product a block, then beam search."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from backtime.data.batching.steps import Scale
from backtime.data.captions import Captioned, Frame, captioned, read_images
from backtime.data.pairs import joined
from backtime.errors import UsageError
from backtime.fields import read
from backtime.models.captioner_config import FLOOR, SIDE, CaptionerConfig
from backtime.models.file import ModelFile
from backtime.reference.weights import Array
from backtime.runtime.beam import BEAM, BeamWriter, Written
from backtime.runtime.predictor import Row

LONGEST = 2  # a caption may have so many times the symbols of the longest in training, and ten


class Captioner(BeamWriter):
    """Says in words what an image shows."""

    config: CaptionerConfig

    def __init__(self, file: ModelFile, backend: str = "auto") -> None:
        """Prepare the weights for stepping."""
        if not isinstance(file.config, CaptionerConfig):
            raise UsageError(f"a model for the task {file.task!r}; expected one that captions images")
        super().__init__(file.config, file, backend)
        self.frame: Frame = read(Frame, file.encoding["frame"], "frame", complete=True)
        self.scale = Scale.from_json(file.encoding["scale"])

    def read(self, source: Path | None) -> Iterator[Captioned]:
        """A picture, those of a folder or a table, an idx file or an archive; texts are not asked for."""
        return read_images(source, self.frame.channels != 1)

    def predict(self, records: Iterable[Any], beam: int = BEAM) -> Iterator[Row]:
        """The text of each image, and the mean log-probability of its symbols, in nats.

        A record may also be an array: (rows, columns) or (rows, columns, channels). Raises ``UsageError``
        naming the image whose size is not that of training.
        """
        for number, record in enumerate(records, 1):
            own = captioned(record, number)
            found = self.caption(own, beam)
            text = joined(found.symbols, self.level)
            yield {"image": own.name, "text": text, "score": round(found.score, 4)}

    def caption(self, own: Captioned, beam: int = BEAM) -> Written:
        """The best text that ``search`` finds."""
        places, state = self.look(self.scaled(self.frame.checked(own)))
        return self.search(places, state, beam, LONGEST * self.frame.longest + 10)

    def draw(self, records: Iterable[Any]) -> Any:
        """A figure of matplotlib: for each of the first images where each written symbol looked."""
        from backtime.runtime.attention_picture import MOST, draw_looks

        if not self.config.attention:
            raise UsageError("--picture: the model has no attention; expected one trained with --attention")
        found = []
        for number, record in enumerate(islice(records, MOST), 1):
            own = captioned(record, number)
            written = self.caption(own)
            found.append((own.image, written.symbols, written.attention))
        return draw_looks(found, self.config.grid)

    def scaled(self, image: Array) -> Array:
        """What the network reads of an image (rows, columns, channels)."""
        found: Array = (image - self.scale.mean) / self.scale.deviation
        return found.astype(self.tensors["head.weight"].dtype)

    def look(self, image: Array) -> tuple[Array, list[Array]]:
        """Places (P, H) of a scaled image, and the state that the writing begins with.

        The equations are those of ``models.captioner.Captioner``.
        """
        tensors, config = self.tensors, self.config
        f = image.transpose(2, 0, 1)
        for block in range(config.blocks):
            weight, bias = (tensors[f"convolutions.{block}.{part}"] for part in ("weight", "bias"))
            f = halved(np.maximum(convolved(f, weight) + bias[:, None, None], 0))
        f = (f - f.mean()) / np.sqrt(f.var() + FLOOR)
        start = np.tanh(tensors["start.weight"] @ f.ravel() + tensors["start.bias"])
        state = list(start.reshape(-1, config.layers, 1, config.hidden_size))  # h, and of the LSTM c
        places = f.reshape(len(f), -1).T
        if config.attention:
            places = places @ tensors["place.weight"].T + tensors["place.bias"] + tensors["position"]
        return places, [np.ascontiguousarray(part[n]) for n in range(config.layers) for part in state]


def convolved(f: Array, weight: Array) -> Array:
    """(O, R, C) of f (K, R, C) and weights (O, K, 3, 3), with zeros around f: sums of f times the weights."""
    edge = SIDE // 2
    padded = np.pad(f, ((0, 0), (edge, edge), (edge, edge)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE), (1, 2))  # (K, R, C, 3, 3)
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(-1, f.shape[1] * f.shape[2])
    found: Array = (weight.reshape(len(weight), -1) @ columns).reshape(-1, *f.shape[1:])
    return found


def halved(f: Array) -> Array:
    """(K, R / 2, C / 2): the largest of each 2 x 2 of f (K, R, C); an odd last row or column is left out."""
    K, R, C = f.shape
    found: Array = f[:, : R // 2 * 2, : C // 2 * 2].reshape(K, R // 2, 2, C // 2, 2).max((2, 4))
    return found
