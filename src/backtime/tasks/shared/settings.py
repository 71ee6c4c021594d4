"""The settings of a recurrent network, which all tasks have, and the fields that their defaults differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.batching.steps import LEVELS
from backtime.errors import UsageError
from backtime.fields import described
from backtime.models.config import ACTIVATIONS, CELLS, INITS, MOST_LAYERS
from backtime.models.file import ModelFile
from backtime.models.reader_config import POOLINGS
from backtime.training.settings import DATA, LENGTH, NETWORK, STEPS, Settings

# What the settings and the configuration of every recurrent network have by the same name.
LAYERS = (
    *("cell", "hidden_size", "layers", "activation", "reset_after"),
    *("layer_norm", "skip_connections"),
)
# The same of a network that makes one vector of a whole sequence.
ENCODER_FIELDS: tuple[str, ...] = (*LAYERS, "output_layers", "bidirectional", "pooling")


def share(default: float, help: str, group: str = DATA) -> Any:
    """A field that is a share: from 0 to below 1."""
    return described(default, help, group=group, least=0, below=1)


def cell(default: str) -> Any:
    """The field ``cell``."""
    return described(default, "kind of recurrent layer", group=NETWORK, choices=CELLS)


def hidden_size(default: int, help: str = "units a layer") -> Any:
    """The field ``hidden_size``."""
    return described(default, help, group=NETWORK, least=1)


def layers(default: int) -> Any:
    """The field ``layers``."""
    words = "recurrent layers, one above the other"
    return described(default, words, group=NETWORK, least=1, below=MOST_LAYERS + 1)


def output_layers() -> Any:
    """The field ``output_layers`` of a task whose network has ``models.layers.Columns``."""
    words = "layers of tanh units above the recurrent ones, without recurrence"
    return described(0, words, group=NETWORK, least=0, below=MOST_LAYERS + 1)


def dropout(default: float, places: str) -> Any:
    """The field ``dropout``; ``places`` says where."""
    return share(default, f"share of units dropped: {places}", NETWORK)


def epochs(default: int) -> Any:
    """The field ``epochs``."""
    return described(default, "passes through the data", group=LENGTH, least=1)


@dataclass(frozen=True)
class RecurrentSettings(Settings):
    """A run of a network of recurrent layers, one above the other.

    ``network_fields`` are the names that the settings and the configuration of the network have in common.
    """

    network_fields: ClassVar[tuple[str, ...]] = LAYERS

    cell: str = cell("lstm")
    hidden_size: int = hidden_size(256)
    layers: int = layers(2)
    activation: str = described("tanh", "of the rnn cell", group=NETWORK, choices=ACTIVATIONS)
    reset_after: bool = described(
        True,
        "gru: reset gate after the product (default)",
        group=NETWORK,
        off=("--reset-before", "gru: reset gate before it"),
    )
    layer_norm: bool = described(False, "normalise both products of every layer", group=NETWORK)
    skip_connections: bool = described(
        False, "add the input of every recurrent layer but the first to its output", group=NETWORK
    )
    dropout: float = dropout(0.0, "of an embedding, between layers, and before the output")
    init: str = described("torch", "how recurrent weights begin", group=NETWORK, choices=INITS)
    init_range: float | None = described(
        None, "draw all weights from U(-X, X) (default: as torch.nn does)", group=NETWORK, above=0
    )
    forget_bias: float | None = described(
        None, "lstm: what the forget gate's bias begins with (default: as torch.nn does)", group=NETWORK
    )
    time_scale: int | None = described(
        None,
        "lstm, gru: gates begin so that units remember for up to N steps (default: as torch.nn does)",
        group=NETWORK,
        least=3,
    )

    def __post_init__(self) -> None:
        """Check what means something only together."""
        super().__post_init__()
        if self.activation != "tanh" and self.cell != "rnn":
            raise UsageError(f"--activation {self.activation} with --cell {self.cell}; expected --cell rnn")
        if not self.reset_after and self.cell != "gru":
            raise UsageError(f"--reset-before with --cell {self.cell}; expected --cell gru")
        if self.layer_norm and not self.reset_after:
            raise UsageError("--layer-norm with --reset-before; expected one of them")
        if self.skip_connections and self.layers == 1:
            raise UsageError("--skip-connections with --layers 1; expected --layers 2 or more")
        if self.forget_bias is not None and self.cell != "lstm":
            raise UsageError(
                f"--forget-bias {self.forget_bias:g} with --cell {self.cell}; expected --cell lstm"
            )
        if self.time_scale is not None and self.cell == "rnn":
            raise UsageError(f"--time-scale {self.time_scale} with --cell rnn; expected --cell lstm or gru")
        if self.time_scale is not None and self.forget_bias is not None:
            raise UsageError(
                f"--forget-bias {self.forget_bias:g} with --time-scale {self.time_scale}; expected one of "
                "them"
            )
        if self.init != "torch" and self.init_range is not None:
            raise UsageError(
                f"--init {self.init} with --init-range {self.init_range:g}; expected one of them"
            )

    @property
    def label(self) -> str:
        """The cell."""
        return self.cell

    def network(self) -> dict[str, Any]:
        """What the configuration of the network takes from the settings."""
        return {name: getattr(self, name) for name in (*self.network_fields, "dropout")}

    @classmethod
    def network_of(cls, start: ModelFile) -> dict[str, Any]:
        """The settings that the network of ``--init-from`` leaves no choice about."""
        return {name: getattr(start.config, name) for name in cls.network_fields}


@dataclass(frozen=True)
class SequenceEncoderSettings(RecurrentSettings):
    """A run of a network that makes one vector of a whole sequence: ``models.reader.SequenceEncoder``."""

    network_fields = ENCODER_FIELDS

    level: str = described("word", "of texts: what a symbol is", group=DATA, choices=LEVELS)
    min_count: int = described(1, "how often a symbol comes at least to have a vector", group=DATA, least=1)
    hidden_size: int = hidden_size(128, "units a layer and direction")
    layers: int = layers(1)
    dropout: float = dropout(0.3, "embedding, layers, pooled vector")
    embedding_size: int = described(100, "of texts: length of a symbol's vector", group=NETWORK, least=1)
    output_layers: int = output_layers()
    bidirectional: bool = described(False, "read in both directions", group=NETWORK)
    pooling: str = described("last", "what of all steps makes the vector", group=NETWORK, choices=POOLINGS)
    word_dropout: float = described(
        0.25, "of texts: a symbol that came N times is read as unknown with probability A / (A + N)",
        group=STEPS, least=0,
    )  # fmt: skip
