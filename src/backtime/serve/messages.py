"""JSON from outside: decoded strictly, and read into dataclasses that say what may be in it."""

import json
from dataclasses import dataclass, field
from typing import Any

from backtime.errors import UsageError, shown
from backtime.fields import check, described, read

MOST_UNITS, MOST_NEXT = 512, 256


def decode(data: bytes | str) -> Any:
    """The value in JSON text; raises ``UsageError`` where there is NaN or half a character too."""
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(
            value, allow_nan=False, ensure_ascii=False
        ).encode()  # 1e999 is infinity, \ud800 is no character
    except RecursionError:
        raise UsageError("the JSON is nested too deeply; expected a few levels") from None
    except UnicodeError:
        raise UsageError("the JSON is not UTF-8, or has half of a character; expected UTF-8") from None
    except ValueError as error:
        raise UsageError(f"no JSON: {error}; expected JSON without NaN and infinity") from None
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


@dataclass(frozen=True)
class Records:
    """The body of ``predict``."""

    records: list[Any]


@dataclass(frozen=True)
class Units:
    """Units of a layer, whose activations an answer is to have: numbers from 0, none for all of them."""

    layer: int = described(0, "layer, from 0", least=0)
    numbers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Message:
    """What a client says in a session: symbols to ``read``, or how many to ``write``, or ``reset``."""

    read: str | None = described(None, "text to read")
    tokens: list[int] = field(default_factory=list)
    write: int = described(0, "symbols to write", least=0, below=1001)
    reset: bool = described(False, "begin anew, from a state of zeros")
    temperature: float = described(1.0, "below 1 bolder, above 1 wilder; 0 is greedy", least=0)
    top_k: int = described(0, "only the N likeliest symbols; 0 is all", least=0)
    top_p: float = described(1.0, "only the likeliest symbols that make up this mass", above=0)
    seed: int | None = described(None, "of the draws from here on", least=0)
    top: int = described(10, "how many of the likeliest next symbols to tell", least=0, below=MOST_NEXT + 1)
    probabilities: bool = described(True, "tell how likely each symbol was")
    units: Units | None = None

    def __post_init__(self) -> None:
        """Check every value, and that one thing is asked for."""
        check(self)
        asked = [self.read is not None, bool(self.tokens), bool(self.write)]
        if sum(asked) > 1 or not (any(asked) or self.reset):
            raise UsageError("a message asks for one thing: expected read, tokens or write, or reset")


def read_message(text: str | bytes, most: int) -> Message:
    """A session's message, of ``most`` symbols to read; raises ``UsageError``."""
    value = decode(text)
    if isinstance(value, dict) and value.get("units") is not None:
        value = value | {"units": read(Units, value["units"], "units")}
    units = value.pop("units", None) if isinstance(value, dict) else None
    found: Message = read(Message, value, "the message")
    if units is not None:
        check(units)
        if len(units.numbers) > MOST_UNITS:
            raise UsageError(f"units asks for {len(units.numbers)}; expected {MOST_UNITS} at most")
        object.__setattr__(found, "units", units)
    if max(len(found.read or ""), len(found.tokens)) > most:
        raise UsageError(
            f"the message has more to read than {most:,} symbols; expected fewer, or several messages"
        )
    return found


def read_records(data: bytes, most: int) -> list[Any]:
    """The records of a body; raises ``UsageError``."""
    found: Records = read(Records, decode(data), "the request")
    if not 1 <= len(found.records) <= most:
        raise UsageError(f"records has {len(found.records)}; expected 1 to {most:,}")
    return found.records


def object_of(data: bytes) -> dict[str, Any]:
    """The JSON object of a body; raises ``UsageError``."""
    value = decode(data)
    if not isinstance(value, dict):
        raise UsageError(f"the request is {shown(value)}; expected an object")
    return value
