"""Dataclass fields that carry their help, range and choices: the one table behind settings and command line.

``described`` makes such a field, ``check`` holds the values of an instance against what its fields say, and
``backtime.cli.options`` turns the fields into arguments.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable
from typing import Any, NamedTuple

from backtime.errors import UsageError


class About(NamedTuple):
    """What a field says of itself; see ``described``."""

    help: str
    group: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    above: float | None = None
    below: float = math.inf
    off: tuple[str, str] = ("", "")
    tell_default: bool = True


def described(
    default: Any,
    help: str,
    *,
    group: str = "options",
    choices: Iterable[str] = (),
    least: float | None = None,
    above: float | None = None,
    below: float = math.inf,
    off: tuple[str, str] = ("", ""),
    tell_default: bool = True,
) -> Any:
    """A dataclass field with its default and what people and the command line should know of it.

    - ``help``: a few words; ``group``: the heading that it stands under in ``--help``
    - ``choices``: the values that a string may have
    - ``least``: the smallest number allowed, or ``above``: what it exceeds; ``below``: what it stays under
    - ``off``: of a field that is true by default, the option that makes it false, and its help
    - ``tell_default``: false where the help tells the default itself

    A default of None means: not given. Such a field may also be None later; the range is that of a value.
    """
    about = About(help, group, tuple(choices), least, above, below, off, tell_default)
    return dataclasses.field(default=default, metadata={"about": about})


def about(field: "dataclasses.Field[Any]") -> About:
    """What a field says of itself."""
    found: About = field.metadata["about"]
    return found


def flag(name: str) -> str:
    """The command line's name of a field."""
    return "--" + name.replace("_", "-")


def kinds(cls: type) -> dict[str, type]:
    """The type of each field's values, None apart: ``int | None`` is int."""
    hints = typing.get_type_hints(cls)
    return {field.name: _kind(hints[field.name]) for field in dataclasses.fields(cls)}


def check(instance: Any) -> None:
    """Raise ``UsageError``, naming the option, when a value has another type or range than its field says."""
    types_of = kinds(type(instance))
    for field in dataclasses.fields(instance):
        if "about" in field.metadata:
            _check(field, types_of[field.name], getattr(instance, field.name))


def _check(field: "dataclasses.Field[Any]", kind: type, value: Any) -> None:
    told = about(field)
    if value is None and field.default is None:
        return
    if told.choices and value not in told.choices:
        raise UsageError(f"{flag(field.name)} is {value!r}; expected one of {', '.join(told.choices)}")
    if not _fits(value, kind):
        raise UsageError(f"{flag(field.name)} is {value!r}; expected {_WORDS.get(kind, kind.__name__)}")
    if kind not in (int, float):
        return
    low = value > told.above if told.above is not None else told.least is None or value >= told.least
    if not (low and value < told.below):  # so written, NaN is refused too
        raise UsageError(f"{flag(field.name)} is {value}; expected {_range(told)}")


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _fits(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _range(told: About) -> str:
    low = f"a number above {told.above:,}" if told.above is not None else f"{told.least or 0:,} or more"
    return low if told.below == math.inf else f"{low} and less than {told.below:,}"


def _kind(hint: Any) -> type:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    kind: type = typing.get_origin(hint) or hint
    return kind
