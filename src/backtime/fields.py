"""Dataclass fields that carry their help, range and choices: the one table behind settings and command line.

``described`` makes such a field, ``check`` holds the values of an instance against what its fields say, and
``backtime.cli.options`` turns the fields into arguments.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterable
from typing import Any, NamedTuple

from backtime.errors import UsageError, shown


class Encoding(dict[str, Any]):
    """The parts of an encoding by name; one that is asked for and not there is a ``UsageError``."""

    def __missing__(self, name: str) -> Any:
        """The file that it was read from is damaged."""
        raise UsageError(f"the encoding lacks {name}")


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


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """The annotations as types; a server reads the same class thousands of times a second."""
    return typing.get_type_hints(cls)


def kinds(cls: type) -> dict[str, type]:
    """The type of each field's values, None apart: ``int | None`` is int."""
    hints = _hints(cls)
    return {field.name: _kind(hints[field.name]) for field in dataclasses.fields(cls)}


def read(cls: type[Any], value: Any, where: str, *, others: bool = False, complete: bool = False) -> Any:
    """An instance of a dataclass from its JSON object, each value of the type that its field has.

    A field may be a number, a string, true or false, a list or a dict of them, or another dataclass. Raises
    ``UsageError`` that begins with ``where`` and names what is missing (with ``complete``, also where there
    is a default), unknown (unless ``others`` may be there) or of another type.
    """
    if not isinstance(value, dict):
        raise UsageError(f"{where}: {shown(value)} is no object")
    known = {field.name: field for field in dataclasses.fields(cls)}
    if not others and (unknown := sorted(set(value) - set(known))):
        raise UsageError(f"{where}: it holds {shown(unknown[0])}, which this version does not know")
    hints, found = _hints(typing.cast(Any, cls)), {}
    for name, field in known.items():
        if name in value:
            found[name] = _read(hints[name], value[name], name, where)
        elif complete or field.default is field.default_factory is dataclasses.MISSING:
            raise UsageError(f"{where}: it lacks {name}")
    return cls(**found)


def _read(hint: Any, value: Any, name: str, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return read(typing.cast(type, hint), value, f"{where}: {name}")
    if not _is(hint, value):
        raise UsageError(f"{where}: {name} is {shown(value)}; expected {_words(hint)}")
    return value


def _is(hint: Any, value: Any) -> bool:
    """Whether a value from JSON is what an annotation says."""
    if isinstance(hint, types.UnionType):
        return any(_is(part, value) for part in typing.get_args(hint))
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is list:
        return isinstance(value, list) and all(_is(parts[0], part) for part in value)
    if kind is dict:
        return isinstance(value, dict) and all(_is(parts[1], part) for part in value.values())
    if isinstance(value, int) and abs(value) >= LARGEST:
        return False
    return kind is Any or _fits(value, kind)


def _words(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join(_words(part) for part in typing.get_args(hint))
    return _WORDS.get(typing.get_origin(hint) or hint, str(hint))


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
        raise UsageError(f"{flag(field.name)} is {shown(value)}; expected one of {', '.join(told.choices)}")
    if not _fits(value, kind):
        raise UsageError(f"{flag(field.name)} is {shown(value)}; expected {_WORDS.get(kind, kind.__name__)}")
    if kind not in (int, float):
        return
    low = value > told.above if told.above is not None else told.least is None or value >= told.least
    if not (low and value < told.below):  # so written, NaN is refused too
        raise UsageError(f"{flag(field.name)} is {shown(value)}; expected {_range(told)}")
    if kind is int and value >= LARGEST:
        raise UsageError(f"{flag(field.name)} is {shown(value)}; expected less than 2^63")


_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_WORDS |= {list: "a list", dict: "an object", types.NoneType: "null"}
LARGEST = 2**63  # of whole numbers: what is larger is a slip, and overflows further on


def _fits(value: Any, kind: type) -> bool:
    if kind is float and isinstance(value, float):
        return True
    if kind is float:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _range(told: About) -> str:
    low = f"a number above {told.above:,}" if told.above is not None else f"{told.least or 0:,} or more"
    return low if told.below == math.inf else f"{low} and less than {told.below:,}"


def _kind(hint: Any) -> type:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    kind: type = typing.get_origin(hint) or hint
    return kind
