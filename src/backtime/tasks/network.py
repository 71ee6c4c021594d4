"""The settings of a recurrent network, which most tasks have."""

from dataclasses import dataclass
from typing import Any

from backtime.errors import UsageError
from backtime.fields import described
from backtime.models.config import ACTIVATIONS, CELLS, INITS, MOST_LAYERS
from backtime.training.settings import NETWORK, Settings

# What the settings and the configuration of every recurrent network have by the same name.
LAYERS = (
    *("cell", "hidden_size", "layers", "activation", "reset_after"),
    *("layer_norm", "skip_connections"),
)


@dataclass(frozen=True)
class RecurrentSettings(Settings):
    """A run of a network of recurrent layers, one above the other."""

    cell: str = described("lstm", "kind of recurrent layer", group=NETWORK, choices=CELLS)
    hidden_size: int = described(256, "units a layer", group=NETWORK, least=1)
    layers: int = described(
        2, "recurrent layers, one above the other", group=NETWORK, least=1, below=MOST_LAYERS + 1
    )
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
    dropout: float = described(
        0.0,
        "share of units dropped: of an embedding, between layers, and before the output",
        group=NETWORK,
        least=0,
        below=1,
    )

    init: str = described("torch", "how recurrent weights begin", group=NETWORK, choices=INITS)
    init_range: float | None = described(
        None, "draw all weights from U(-X, X) (default: as torch.nn does)", group=NETWORK, above=0
    )
    forget_bias: float | None = described(
        None, "lstm: what the forget gate's bias begins with (default: as torch.nn does)", group=NETWORK
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
        if self.init != "torch" and self.init_range is not None:
            raise UsageError(
                f"--init {self.init} with --init-range {self.init_range:g}; expected one of them"
            )

    @property
    def label(self) -> str:
        """The cell."""
        return self.cell


def output_layers() -> Any:
    """The field ``output_layers`` of a task whose network has ``models.layers.Columns``."""
    return described(
        0,
        "layers of tanh units above the recurrent ones, without recurrence",
        group=NETWORK,
        least=0,
        below=MOST_LAYERS + 1,
    )
