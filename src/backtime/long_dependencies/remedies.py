"""What is tried against a vanishing or exploding gradient, by name: each is an option of ``train``.

A remedy is written as its parts between plus signs: ``clip``, ``relu+identity+clip``, ``forget-bias=5``. The
cells themselves are the remedy of gates.
"""

import contextlib
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from backtime.errors import UsageError, shown

PLAIN = "none"
OF_SOME = {
    "activation": ("rnn",),
    "forget_bias": ("lstm",),
    "time_scale": ("gru", "lstm"),
}  # not of all cells


@dataclass(frozen=True)
class Remedy:
    """A name and what it sets; every default is what ``torch.nn`` does, without clipping.

    - ``activation`` of the rnn cell; ``init``: how recurrent weights begin (``models.initial``)
    - ``forget_bias`` of the lstm; ``layer_norm`` inside the cell
    - ``time_scale``: the gates of lstm and gru begin so that units remember for up to that many steps
      (``models.chrono``); 0 is the delay itself
    - ``clip``: largest norm of the gradient; ``clip_value``: largest value in it, cut before
    """

    name: str = PLAIN
    activation: str = "tanh"
    init: str = "torch"
    forget_bias: float | None = None
    time_scale: int | None = None
    layer_norm: bool = False
    clip: float | None = None
    clip_value: float | None = None

    def fits(self, cell: str) -> bool:
        """Whether the cell has what the remedy sets."""
        return all(cell in cells for name, cells in OF_SOME.items() if name in self.given)

    @property
    def given(self) -> list[str]:
        """The fields that are not at their defaults."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


class Part(NamedTuple):
    """A word of a remedy: the field that it sets and to what; above what another value may be given."""

    field: str
    value: Any
    above: float | None = None


MOST = 100_000  # of a value that is given
PARTS = {
    "relu": Part("activation", "relu"),
    "sigmoid": Part("activation", "sigmoid"),
    "linear": Part("activation", "identity"),
    "orthogonal": Part("init", "orthogonal"),
    "identity": Part("init", "identity"),
    "xavier": Part("init", "xavier"),
    "layer-norm": Part("layer_norm", True),
    "forget-bias": Part("forget_bias", 1.0, above=-MOST),
    "time-scale": Part("time_scale", 0, above=2),
    "clip": Part("clip", 1.0, above=0),
    "clip-value": Part("clip_value", 0.1, above=0),
}
USUAL = (
    "none,clip,clip-value,orthogonal+clip,xavier+clip,relu+identity+clip,layer-norm+clip,forget-bias+clip,"
    "time-scale+clip"
)


def make_remedy(name: str) -> Remedy:
    """The remedy of a name; raises ``UsageError`` where a part is unknown, or two set the same."""
    remedy = Remedy(name)
    for word in [] if name == PLAIN else name.split("+"):
        part, value = _part(word, name)
        if part.field in remedy.given:
            raise UsageError(f"--remedies has {shown(name)}, which sets {part.field} twice; expected it once")
        remedy = replace(remedy, **{part.field: value})
    return remedy


def _part(word: str, remedy: str) -> tuple[Part, Any]:
    name, equals, given = word.partition("=")
    part = PARTS.get(name)
    if part is None:
        raise UsageError(
            f"--remedies has {shown(remedy)}; expected {PLAIN}, or one or more of {', '.join(PARTS)}, joined "
            "by +"
        )
    return part, _value(given, name, part) if equals else part.value


def _value(given: str, name: str, part: Part) -> Any:
    """The value of a part, of the type of its usual one."""
    kind, wanted = type(part.value), f"{name} alone"
    if part.above is not None:
        wanted = f"a {'whole ' * (kind is int)}number above {part.above:,g} and below {MOST:,}"
        with contextlib.suppress(ValueError, OverflowError):
            if part.above < (value := kind(given)) < MOST:
                return value
    raise UsageError(f"--remedies has {shown(f'{name}={given}')}; expected {wanted}")
