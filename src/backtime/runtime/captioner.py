"""A trained captioner on NumPy and the engine alone: convolution by one product a block, then beam search."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import backtime.runtime.json_records as json_records
from backtime.data.batching.steps import Scale
from backtime.data.caption_files import read_images
from backtime.data.captions import Captioned, Frame, captioned
from backtime.data.pairs import joined
from backtime.errors import UsageError
from backtime.fields import read
from backtime.models.captioner_config import FLOOR, SIDE, CaptionerConfig
from backtime.models.file import ModelFile
from backtime.reference.weights import Array
from backtime.runtime.beam import BEAM, BeamWriter, Search, Written
from backtime.runtime.predictor import Prepared, Row

LONGEST = 2  # a caption may have so many times the symbols of the longest in training, and ten


class Captioner(BeamWriter):
    """Says in words what an image shows."""

    config: CaptionerConfig
    json_records, file_endings = "lists of rows, each a list of numbers", (".png", ".jpg", ".jpeg")

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
            yield from self.answers([self.prepare(record, number).value], beam)[0]

    def from_json(self, values: list[Any]) -> list[Array]:
        """Arrays (rows, columns) or (rows, columns, channels) of lists."""
        return [_image(own, number) for number, own in enumerate(values, 1)]

    def prepare(self, record: Any, number: int) -> Prepared:
        """The image; raises ``UsageError`` naming it where its size is not that of training."""
        own = captioned(record, number)
        return Prepared(own._replace(image=self.frame.checked(own)), self._longest)

    def answers(self, values: Sequence[Captioned], beam: int = BEAM) -> list[list[Row]]:
        """The text of each image, and the mean log-probability of its symbols, in nats."""
        written = self.search_all([self._search(own.image, beam) for own in values])
        return [[self._row(own.name, found)] for own, found in zip(values, written, strict=True)]

    def _row(self, name: str, found: Written) -> Row:
        return {"image": name, "text": joined(found.symbols, self.level), "score": round(found.score, 4)}

    @property
    def _longest(self) -> int:
        return LONGEST * self.frame.longest + 10

    def _search(self, image: Array, beam: int) -> Search:
        places, state = self.look(self.scaled(image))
        return self.searching(places, state, beam, self._longest)

    def caption(self, own: Captioned, beam: int = BEAM) -> Written:
        """The best text that ``search`` finds."""
        return self.search_all([self._search(self.frame.checked(own), beam)])[0]

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


def _image(value: Any, number: int) -> Array:
    wanted = "a list of rows, each a list of numbers, or with colors of lists of three"
    try:
        found = np.array(value)
    except ValueError as error:  # rows of several lengths
        raise json_records.wrong(number, value, wanted) from error
    if found.dtype.kind not in "iuf" or found.ndim not in (2, 3) or not found.size:
        raise json_records.wrong(number, value, wanted)
    if not (abs(found) < json_records.LARGEST).all():
        raise json_records.wrong(number, value, wanted)
    return found


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
