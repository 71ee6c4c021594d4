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


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Layers of one cell, one above the other, in one direction or both.

    - ``cell``: ``"rnn"`` with its ``activation``, ``"gru"`` with ``reset_after``, or ``"lstm"``
    - ``dropout``: probability, where the network says

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

    def __post_init__(self) -> None:
        """Check every field by its type."""
        for field in fields(self):
            _check(self, field.name, getattr(self, field.name), field.type)
        if self.layers > MOST_LAYERS:
            raise UsageError(f"layers is {shown(self.layers)}; expected at most {MOST_LAYERS:,}")

    @property
    def width(self) -> int:
        """The length of what the last layer gives at each step."""
        return self.hidden_size * (2 if self.bidirectional else 1)

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
        if missing := [name for name in known if name not in value]:
            raise UsageError(f"the configuration lacks {missing[0]}")
        return cls(**value)


def layer_shapes(name: str, config: RecurrentConfig, input_size: int) -> Shapes:
    """The tensors of the layers ``NAME``, as ``torch.nn`` has them."""
    H, table = config.hidden_size, Shapes()
    rows = GATES[config.cell] * H
    for layer in range(config.layers):
        for end in ("", "_reverse") if config.bidirectional else ("",):
            table[f"{name}.weight_ih_l{layer}{end}"] = (rows, config.width if layer else input_size)
            table[f"{name}.weight_hh_l{layer}{end}"] = (rows, H)
            table[f"{name}.bias_ih_l{layer}{end}"] = table[f"{name}.bias_hh_l{layer}{end}"] = (rows,)
    return table


def check_lexicons(encoding: Mapping[str, Any], sizes: dict[str, int]) -> None:
    """Raise ``UsageError`` unless each part of the encoding is a lexicon of its size."""
    for name, size in sizes.items():
        found = len(Lexicon.from_json(encoding.get(name)))
        if found != size:
            raise UsageError(f"{name} has {found} symbols; expected {size}")


def _check(config: RecurrentConfig, name: str, value: object, kind: Any) -> None:
    choices, least = config.choices.get(name), config.least.get(name, 1)
    if choices and value not in choices:
        raise UsageError(f"{name} is {shown(value)}; expected one of {', '.join(choices)}")
    if kind is int and (type(value) is not int or value < least):
        raise UsageError(f"{name} is {shown(value)}; expected a whole number from {least}")
    if kind is bool and type(value) is not bool:
        raise UsageError(f"{name} is {shown(value)}; expected true or false")
    if kind is float and not (type(value) in (int, float) and 0 <= value <= 1):  # type: ignore[operator]
        raise UsageError(f"{name} is {shown(value)}; expected a number in [0, 1]")
