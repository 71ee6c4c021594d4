"""What each network is made of: sizes and options, and the tensors that follow from them. No PyTorch.

``NETWORKS`` is the table of all that a model file may hold.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol

from backtime.data.text.vocabulary import Vocabulary
from backtime.errors import UsageError, shown
from backtime.models.captioner_config import CaptionerConfig
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.forecast_config import ForecastConfig
from backtime.models.piano_config import PianoConfig
from backtime.models.reader_config import ReaderConfig
from backtime.models.recommender_config import RecommenderConfig
from backtime.models.recurrent import (
    ACTIVATIONS,
    CELLS,
    INITS,
    MOST_LAYERS,
    RecurrentConfig,
    Shapes,
    column_shapes,
    feedback_shapes,
    layer_shapes,
)
from backtime.models.regressor_config import RegressorConfig
from backtime.models.similarity_config import SimilarityConfig
from backtime.models.tagger_config import TaggerConfig
from backtime.models.transcriber_config import TranscriberConfig

__all__ = [
    "ACTIVATIONS", "CELLS", "INITS", "MOST_LAYERS", "NETWORKS", "Config", "LanguageConfig", "Shapes",
    "read_config",
]  # fmt: skip

SIZES = {"vocabulary_size": 1, "embedding_size": 0}  # name: least value
FLAGS = ("tie_weights",)
PLACES = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout")


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
    - ``dropout``, and for each place one of its own: probabilities, see ``LanguageModel``
    - ``tie_weights``: one (V, H) matrix serves as embedding and as output weights; needs
      ``embedding_size == hidden_size``
    - ``activation``: of the ``rnn`` cell; ``reset_after``: of the ``gru`` cell
    - ``layer_norm``, ``skip_connections``, ``output_layers``, ``output_recurrence``: see ``RecurrentConfig``;
      the output that comes back is the symbol

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
    layer_norm: bool = False
    skip_connections: bool = False
    output_layers: int = 0
    output_recurrence: bool = False
    embedding_dropout: float = 0.0
    input_dropout: float | None = None
    hidden_dropout: float | None = None
    output_dropout: float | None = None
    weight_dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        _ = self.recurrent  # whose fields are checked by it
        for name, least in SIZES.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UsageError(f"{name} is {shown(value)}; expected a whole number from {least}")
        for name in FLAGS:
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"{name} is {shown(getattr(self, name))}; expected true or false")
        for name in ("dropout", *PLACES):
            _share(name, getattr(self, name), optional=getattr(type(self), name) is None)
        _check_noise(self)
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise UsageError(
                f"tie_weights needs embedding_size equal to hidden_size; they are {self.embedding_size} and "
                f"{self.hidden_size}"
            )

    @property
    def recurrent(self) -> RecurrentConfig:
        """The recurrent layers alone."""
        return RecurrentConfig(**{field.name: getattr(self, field.name) for field in _RECURRENT})

    def options(self) -> dict[str, Any]:
        """The cell's own options, as ``kernels.forward`` takes them."""
        return self.recurrent.options()

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file; tied models have no ``embedding.weight``."""
        V, H, E = self.vocabulary_size, self.hidden_size, self.embedding_size
        own = self.recurrent
        table: Shapes = {"head.weight": (V, H), "head.bias": (V,), **column_shapes(own)}
        if E and not self.tie_weights:
            table["embedding.weight"] = (V, E)
        if self.output_recurrence:
            return table | feedback_shapes("rnn", own, E or V)
        return table | layer_shapes("rnn", own, E or V)

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless ``encoding["vocabulary"]`` has V symbols."""
        symbols = len(Vocabulary.from_json(encoding.get("vocabulary")))
        if symbols != self.vocabulary_size:
            raise UsageError(
                f"vocabulary has {symbols} symbols; expected vocabulary_size = {self.vocabulary_size}"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON; ``from_json`` reads it back equal.

        Kinds of dropout that are not used are left out: versions without them read such a file.
        """
        return {k: v for k, v in asdict(self).items() if k not in PLACES or v != getattr(type(self), k)}

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


_RECURRENT = [field for field in fields(RecurrentConfig) if field.name != "bidirectional"]


def _check_noise(config: LanguageConfig) -> None:
    """Raise ``UsageError`` for a kind of dropout that the layers of this network do not have."""
    if config.skip_connections and config.hidden_dropout is not None:
        raise UsageError("hidden_dropout with skip_connections; expected dropout, or no skip connections")
    if config.output_recurrence and (config.weight_dropout or config.hidden_dropout is not None):
        raise UsageError("weight_dropout or hidden_dropout with output_recurrence; expected layers")


def _share(name: str, value: object, optional: bool) -> None:
    if optional and value is None:
        return
    if type(value) not in (int, float) or not 0 <= value <= 1:  # type: ignore[operator]
        raise UsageError(f"{name} is {shown(value)}; expected a number in [0, 1]")


NETWORKS: dict[str, type[Any]] = {
    LanguageConfig.network: LanguageConfig,
    TaggerConfig.network: TaggerConfig,
    ReaderConfig.network: ReaderConfig,
    RegressorConfig.network: RegressorConfig,
    ForecastConfig.network: ForecastConfig,
    PianoConfig.network: PianoConfig,
    TranscriberConfig.network: TranscriberConfig,
    EncoderDecoderConfig.network: EncoderDecoderConfig,
    RecommenderConfig.network: RecommenderConfig,
    SimilarityConfig.network: SimilarityConfig,
    CaptionerConfig.network: CaptionerConfig,
}


def read_config(network: object, value: Any) -> Config:
    """The configuration of a network from its JSON; raises ``UsageError`` when it is something else."""
    if not isinstance(network, str) or network not in NETWORKS:
        raise UsageError(f"the network is {shown(network)}; expected one of {', '.join(NETWORKS)}")
    config: Config = NETWORKS[network].from_json(value)
    return config
