"""What is tried against a vanishing or exploding gradient, by name: each is an option of ``train``.

A remedy is written as its parts between plus signs: ``clip``, ``relu+identity+clip``, ``forget-bias=5``. The
cells themselves are the remedy of gates.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from backtime.errors import UsageError, shown

PLAIN = "none"


@dataclass(frozen=True)
class Remedy:
    """A name and what it sets; every default is what ``torch.nn`` does, without clipping.

    - ``activation`` of the rnn cell; ``init``: how recurrent weights begin (``models.initial``)
    - ``forget_bias`` of the lstm; ``layer_norm`` inside the cell
    - ``clip``: largest norm of the gradient; ``clip_value``: largest value in it, cut before
    """

    name: str = PLAIN
    activation: str = "tanh"
    init: str = "torch"
    forget_bias: float | None = None
    layer_norm: bool = False
    clip: float | None = None
    clip_value: float | None = None

    def fits(self, cell: str) -> bool:
        """Whether the cell has what the remedy sets."""
        return (self.activation == "tanh" or cell == "rnn") and (self.forget_bias is None or cell == "lstm")


class Part(NamedTuple):
    """A word of a remedy: the field that it sets, to what, and whether another value may be given."""

    field: str
    value: Any
    open: bool = False


PARTS = {
    "relu": Part("activation", "relu"),
    "sigmoid": Part("activation", "sigmoid"),
    "linear": Part("activation", "identity"),
    "orthogonal": Part("init", "orthogonal"),
    "identity": Part("init", "identity"),
    "xavier": Part("init", "xavier"),
    "layer-norm": Part("layer_norm", True),
    "forget-bias": Part("forget_bias", 1.0, open=True),
    "clip": Part("clip", 1.0, open=True),
    "clip-value": Part("clip_value", 0.1, open=True),
}
USUAL = "none,clip,clip-value,orthogonal+clip,xavier+clip,relu+identity+clip,layer-norm+clip,forget-bias+clip"


def make_remedy(name: str) -> Remedy:
    """The remedy of a name; raises ``UsageError`` where a part is unknown, or two set the same."""
    remedy = Remedy(name)
    for word in [] if name == PLAIN else name.split("+"):
        part, value = _part(word, name)
        if getattr(remedy, part.field) != getattr(_DEFAULTS, part.field):
            raise UsageError(f"--remedies has {shown(name)}, which sets {part.field} twice; expected it once")
        remedy = replace(remedy, **{part.field: value})
    return remedy


_DEFAULTS = Remedy()
assert {part.field for part in PARTS.values()} == {field.name for field in fields(Remedy)} - {"name"}


def _part(word: str, remedy: str) -> tuple[Part, Any]:
    name, equals, given = word.partition("=")
    part = PARTS.get(name)
    if part is None:
        raise UsageError(
            f"--remedies has {shown(remedy)}; expected {PLAIN}, or one or more of {', '.join(PARTS)}, joined "
            "by +"
        )
    return part, _value(given, name, part) if equals else part.value


def _value(given: str, name: str, part: Part) -> float:
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    least = -1e3 if part.field == "forget_bias" else 0.0
    if not part.open or not least < value < 1e3:
        wanted = f"a number above {least:g} and below 1,000" if part.open else f"{name} alone"
        raise UsageError(f"--remedies has {shown(f'{name}={given}')}; expected {wanted}")
    return value
