"""What the configurations of networks with recurrent layers share: sizes, checks, tensors. No PyTorch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from backtime.data.lexicon import Lexicon
from backtime.errors import UsageError, shown
from backtime.kernels import GATES

CELLS = ("rnn", "gru", "lstm")
ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
INITS = ("torch", "orthogonal", "identity", "xavier")  # see ``models.initial``
MOST_LAYERS = 1000  # so that a table of the tensors has an end, whatever a damaged file says
Shapes = dict[str, tuple[int, ...]]

# The names of ``Weights``' fields in a model file, as ``nn.types`` has them, which needs PyTorch.
TENSORS = {"Wx": "weight_ih", "Wh": "weight_hh", "bx": "bias_ih", "bh": "bias_hh"}
OF_LAYER_NORM = {"gx": "gain_ih", "gh": "gain_hh"}
OF_ITS_CELL = {"gc": "gain_c", "bc": "bias_c"}  # of the lstm's

# Fields that older files do not have.
LATER = ("layer_norm", "skip_connections", "output_layers", "output_recurrence")


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Layers of one cell, one above the other, in one direction or both.

    - ``cell``: ``"rnn"`` with its ``activation``, ``"gru"`` with ``reset_after``, or ``"lstm"``
    - ``dropout``: probability, where the network says
    - ``layer_norm``: of both products of every layer, and of the lstm's cell (docs/options.md)
    - ``skip_connections``: from the second layer on y_l = layer_l(y_(l-1)) + y_(l-1)
    - ``output_layers``: non-recurrent layers of tanh units, as wide as what is below, under the output
    - ``output_recurrence``: what recurs is the output, not the state (docs/jordan.md)

    Raises ``UsageError`` naming the field that does not fit.
    """

    choices: ClassVar[dict[str, tuple[str, ...]]] = {"cell": CELLS, "activation": ACTIVATIONS}
    least: ClassVar[dict[str, int]] = {}  # of the sizes that may be 0

    cell: str
    hidden_size: int
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    activation: str = "tanh"
    reset_after: bool = True
    layer_norm: bool = False
    skip_connections: bool = False
    output_layers: int = 0
    output_recurrence: bool = False

    def __post_init__(self) -> None:
        """Check every field by its type, and what does not go together."""
        for field in fields(self):
            _check(self, field.name, getattr(self, field.name), field.type)
        for name in ("layers", "output_layers"):
            if getattr(self, name) > MOST_LAYERS:
                raise UsageError(f"{name} is {shown(getattr(self, name))}; expected at most {MOST_LAYERS:,}")
        if self.layer_norm and self.cell == "gru" and not self.reset_after:
            raise UsageError("layer_norm is true with reset_after false; expected true")
        stacked = self.layers > 1 or self.bidirectional or self.layer_norm or self.skip_connections
        if self.output_recurrence and (self.cell != "rnn" or stacked):
            raise UsageError("output_recurrence is true; expected one plain layer of the cell rnn, forward")

    @property
    def width(self) -> int:
        """The length of what the last layer gives at each step."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    @property
    def beyond(self) -> list[str]:
        """What there is beyond plain layers and an output product, in words."""
        named = {"layer_norm": "layer norm", "skip_connections": "skip connections"}
        named |= {"output_layers": "output layers", "output_recurrence": "output recurrence"}
        return [words for name, words in named.items() if getattr(self, name)]

    def options(self) -> dict[str, Any]:
        """The cell's own options, as ``kernels.forward`` takes them."""
        if self.cell == "rnn":
            return {"activation": self.activation}
        return {"reset_after": self.reset_after} if self.cell == "gru" else {}

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON; ``from_json`` reads it back equal."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """The configuration of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        if not isinstance(value, dict):
            raise UsageError(f"the configuration is {shown(value)}; expected an object")
        known = [field.name for field in fields(cls)]
        if strange := sorted(set(value) - set(known)):
            raise UsageError(
                f"the configuration has a field {shown(strange[0])} that this version does not know"
            )
        if missing := [name for name in known if name not in value and name not in LATER]:
            raise UsageError(f"the configuration lacks {missing[0]}")
        return cls(**value)


def layer_shapes(name: str, config: RecurrentConfig, input_size: int) -> Shapes:
    """The tensors of the layers ``NAME``, as ``torch.nn`` has them."""
    H, table = config.hidden_size, Shapes()
    rows = GATES[config.cell] * H
    for layer in range(config.layers):
        for names in tensor_names(name, config, layer):
            own: Shapes = {"Wx": (rows, config.width if layer else input_size), "Wh": (rows, H)}
            own |= dict.fromkeys(("bx", "bh", "gx", "gh"), (rows,)) | {"gc": (H,), "bc": (H,)}
            table |= {tensor: own[field] for field, tensor in names.items()}
    return table


def tensor_names(name: str, config: RecurrentConfig, layer: int) -> list[dict[str, str]]:
    """Of each direction of a layer the names of its tensors by field of ``Weights``."""
    parts = TENSORS | (OF_LAYER_NORM if config.layer_norm else {})
    parts |= OF_ITS_CELL if config.layer_norm and config.cell == "lstm" else {}
    ends = ("", "_reverse") if config.bidirectional else ("",)
    return [{field: f"{name}.{part}_l{layer}{end}" for field, part in parts.items()} for end in ends]


def feedback_shapes(name: str, config: RecurrentConfig, outputs: int, input_size: int = 0) -> Shapes:
    """The tensors of units that see ``outputs`` numbers of the step before, and inputs if there are any."""
    (names,), H = tensor_names(name, config, 0), config.hidden_size
    table: Shapes = {names["Wh"]: (H, outputs), names["bh"]: (H,)}
    return table | ({names["Wx"]: (H, input_size), names["bx"]: (H,)} if input_size else {})


def column_shapes(config: RecurrentConfig) -> Shapes:
    """The tensors of the layers between the recurrent ones and the output."""
    W, table = config.width, Shapes()
    for n in range(config.output_layers):
        table |= {f"columns.{n}.weight": (W, W), f"columns.{n}.bias": (W,)}
    return table


def check_lexicons(encoding: Mapping[str, Any], sizes: dict[str, int]) -> None:
    """Raise ``UsageError`` unless each part of the encoding is a lexicon of its size."""
    for name, size in sizes.items():
        found = len(Lexicon.from_json(encoding.get(name)))
        if found != size:
            raise UsageError(f"{name} has {found} symbols; expected {size}")


def _check(config: RecurrentConfig, name: str, value: object, kind: Any) -> None:
    choices, least = config.choices.get(name), {"output_layers": 0, **config.least}.get(name, 1)
    if choices and value not in choices:
        raise UsageError(f"{name} is {shown(value)}; expected one of {', '.join(choices)}")
    if kind is int and (type(value) is not int or value < least):
        raise UsageError(f"{name} is {shown(value)}; expected a whole number from {least}")
    if kind is bool and type(value) is not bool:
        raise UsageError(f"{name} is {shown(value)}; expected true or false")
    if kind is float and not (type(value) in (int, float) and 0 <= value <= 1):  # type: ignore[operator]
        raise UsageError(f"{name} is {shown(value)}; expected a number in [0, 1]")
