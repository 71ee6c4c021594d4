"""What each network is made of: sizes and options, and the tensors that follow from them. No PyTorch.

``NETWORKS`` is the table of all that a model file may hold.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol

from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError, shown
from backtime.kernels import GATES
from backtime.models.captioner_config import CaptionerConfig
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.forecast_config import ForecastConfig
from backtime.models.piano_config import PianoConfig
from backtime.models.reader_config import ReaderConfig
from backtime.models.recommender_config import RecommenderConfig
from backtime.models.recurrent import ACTIVATIONS, CELLS, INITS, MOST_LAYERS, Shapes
from backtime.models.tagger_config import TaggerConfig
from backtime.models.transcriber_config import TranscriberConfig

__all__ = [
    "ACTIVATIONS", "CELLS", "INITS", "MOST_LAYERS", "NETWORKS", "Config", "LanguageConfig", "Shapes",
    "read_config",
]  # fmt: skip

SIZES = {"hidden_size": 1, "layers": 1, "vocabulary_size": 1, "embedding_size": 0}  # name: least value
FLAGS = ("tie_weights", "reset_after")


class Config(Protocol):
    """The configuration of a network, as a model file has it."""

    network: ClassVar[str]  # its name in ``NETWORKS``

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` when the way in or out (a vocabulary, labels) has not the network's sizes."""

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON."""


@dataclass(frozen=True)
class LanguageConfig:
    """A recurrent language model: symbols in, layers of one cell, a softmax over V symbols out.

    - ``cell``: ``"rnn"``, ``"gru"`` or ``"lstm"``
    - ``embedding_size``: length of the learned vector that stands for each symbol; 0 for one-hot input, where
      the columns of the first layer's input weights play that part
    - ``dropout``: probability, see ``LanguageModel``
    - ``tie_weights``: one (V, H) matrix serves as embedding and as output weights; needs
      ``embedding_size == hidden_size``
    - ``activation``: of the ``rnn`` cell; ``reset_after``: of the ``gru`` cell

    Raises ``UsageError`` naming the field that does not fit.
    """

    network: ClassVar[str] = "aligned"

    cell: str
    hidden_size: int
    layers: int
    vocabulary_size: int
    embedding_size: int = 0
    dropout: float = 0.0
    tie_weights: bool = False
    activation: str = "tanh"
    reset_after: bool = True

    def __post_init__(self) -> None:
        """Check every field."""
        _choice("cell", self.cell, CELLS)
        _choice("activation", self.activation, ACTIVATIONS)
        for name, least in SIZES.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UsageError(f"{name} is {shown(value)}; expected a whole number from {least}")
        if self.layers > MOST_LAYERS:
            raise UsageError(f"layers is {shown(self.layers)}; expected at most {MOST_LAYERS:,}")
        for name in FLAGS:
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"{name} is {shown(getattr(self, name))}; expected true or false")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout <= 1:
            raise UsageError(f"dropout is {shown(self.dropout)}; expected a number in [0, 1]")
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise UsageError(
                f"tie_weights needs embedding_size equal to hidden_size; they are {self.embedding_size} and "
                f"{self.hidden_size}"
            )

    def options(self) -> dict[str, Any]:
        """The cell's own options, as ``kernels.forward`` takes them."""
        if self.cell == "rnn":
            return {"activation": self.activation}
        return {"reset_after": self.reset_after} if self.cell == "gru" else {}

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file; tied models have no ``embedding.weight``."""
        V, H, E = self.vocabulary_size, self.hidden_size, self.embedding_size
        rows = GATES[self.cell] * H
        table: Shapes = {"head.weight": (V, H), "head.bias": (V,)}
        if E and not self.tie_weights:
            table["embedding.weight"] = (V, E)
        for layer in range(self.layers):
            table[f"rnn.weight_ih_l{layer}"] = (rows, H if layer else E or V)
            table[f"rnn.weight_hh_l{layer}"] = (rows, H)
            table[f"rnn.bias_ih_l{layer}"] = table[f"rnn.bias_hh_l{layer}"] = (rows,)
        return table

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless ``encoding["vocabulary"]`` has V symbols."""
        symbols = len(Vocabulary.from_json(encoding.get("vocabulary")))
        if symbols != self.vocabulary_size:
            raise UsageError(
                f"vocabulary has {symbols} symbols; expected vocabulary_size = {self.vocabulary_size}"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON; ``from_json`` reads it back equal."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "LanguageConfig":
        """The configuration of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        if not isinstance(value, dict):
            raise UsageError(f"the configuration is {shown(value)}; expected an object")
        known = [field.name for field in fields(cls)]
        if strange := sorted(set(value) - set(known)):
            raise UsageError(
                f"the configuration has a field {shown(strange[0])} that this version does not know"
            )
        for name in ("cell", "hidden_size", "layers", "vocabulary_size"):
            if name not in value:
                raise UsageError(f"the configuration lacks {name}")
        return cls(**value)


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} is {shown(value)}; expected one of {', '.join(choices)}")


NETWORKS: dict[str, type[Any]] = {
    LanguageConfig.network: LanguageConfig,
    TaggerConfig.network: TaggerConfig,
    ReaderConfig.network: ReaderConfig,
    ForecastConfig.network: ForecastConfig,
    PianoConfig.network: PianoConfig,
    TranscriberConfig.network: TranscriberConfig,
    EncoderDecoderConfig.network: EncoderDecoderConfig,
    RecommenderConfig.network: RecommenderConfig,
    CaptionerConfig.network: CaptionerConfig,
}


def read_config(network: object, value: Any) -> Config:
    """The configuration of a network from its JSON; raises ``UsageError`` when it is something else."""
    if not isinstance(network, str) or network not in NETWORKS:
        raise UsageError(f"the network is {shown(network)}; expected one of {', '.join(NETWORKS)}")
    config: Config = NETWORKS[network].from_json(value)
    return config
