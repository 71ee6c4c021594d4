"""Random calls of the bare bindings, for test_fuzz.py: ``python fuzz_bindings.py N [SEED]`` makes N of them.

Each call is right but for up to two places in its arguments, however deep. It may be answered or refused; a
crash ends the process, another exception or a wrong answer the program. A function joins by a line in CALLS
(fuzz_calls.py): its arguments by name, right ones.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from backtime import _engine
from fuzz_calls import CALLS, saved_of_all_sorts

REFUSALS = (TypeError, ValueError, MemoryError, OverflowError)
HUGE = [2**45, 2**61 + 1, 2**62, 2**63 - 1, 2**63, 2**64, -1, -(2**62), 0]
chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
Place = tuple[Any, ...]  # names and indices from the arguments down


class Fresh:
    """Gives another array, of the same numbers, each time it is asked for its array."""

    def __init__(self, a: Any) -> None:
        self.a = np.array(a)

    def __dlpack__(self, **_: Any) -> Any:
        return self.a.copy().__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def spread(a: Any) -> Any:
    return np.repeat(a, 2, axis=-1)[..., ::2] if isinstance(a, np.ndarray) and a.ndim else a


def frozen(a: Any) -> Any:
    return np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) if isinstance(a, np.ndarray) else a


def unaligned(a: Any) -> Any:
    if not isinstance(a, np.ndarray):
        return a
    out = np.frombuffer(bytearray(a.nbytes + 1), np.uint8)[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


def spent(a: Any) -> Any:
    """A capsule whose array was taken before."""
    capsule = a.__dlpack__()
    with suppress(*REFUSALS):
        _engine.elementwise("exp", capsule, np.empty_like(a))
    return capsule


# name: (what is wrong, whether the numbers are still the same: then an answer must be the right one)
WRONG = {
    "nothing": (lambda a: None, False),
    "an object": (lambda a: object(), False),
    "a string": (lambda a: chance.choice(["lstm", "rnn", "jordan", "relu"]), False),
    "a number": (lambda a: chance.choice([*HUGE, 1.5, float("nan"), True]), False),
    "numbers": (lambda a: tuple(chance.choice([*HUGE, 1, 2]) for _ in range(chance.randrange(5))), False),
    "fewer parts": (lambda a: a[: chance.randrange(4)] if isinstance(a, tuple | list) else (), False),
    "more parts": (lambda a: a + a if isinstance(a, tuple | list) else (a, a), False),
    "nones": (lambda a: (None,) * chance.choice([4, 7, 11]), False),
    "the other sequence": (lambda a: list(a) if isinstance(a, tuple) else tuple(a), True),
    "one deeper": (lambda a: (a,), False),
    "empty": (lambda a: a[..., :0] if isinstance(a, np.ndarray) else (), False),
    "longer": (lambda a: np.resize(a, 1000) if isinstance(a, np.ndarray) else a, False),
    "shorter": (lambda a: a.ravel()[1:] if isinstance(a, np.ndarray) else a, False),
    "flat": (lambda a: a.ravel() if isinstance(a, np.ndarray) else a, True),
    "another axis": (lambda a: a[None] if isinstance(a, np.ndarray) else a, True),
    "turned": (lambda a: np.ascontiguousarray(a.T) if isinstance(a, np.ndarray) else a, False),
    "no width": (lambda a: np.zeros((0, chance.choice([0, 5, 2**40])), np.float32), False),
    "no axis": (lambda a: np.array(1.0), False),
    "float64": (lambda a: a.astype(np.float64) if isinstance(a, np.ndarray) else a, True),
    "float16": (lambda a: a.astype(np.float16) if isinstance(a, np.ndarray) else a, False),
    "objects": (lambda a: np.array(a, object), False),
    "every second": (spread, True),
    "read-only": (frozen, True),
    "unaligned": (unaligned, True),
    "made anew": (lambda a: Fresh(a) if isinstance(a, np.ndarray) else a, False),
    "a capsule": (lambda a: a.__dlpack__() if isinstance(a, np.ndarray) else a, False),
    "a spent capsule": (lambda a: spent(a) if isinstance(a, np.ndarray) else a, False),
    "negative": (lambda a: -a - 1 if isinstance(a, np.ndarray) else a, False),
    "large": (lambda a: a * 0 + 2**62 if isinstance(a, np.ndarray) and a.dtype.kind == "i" else a, False),
    "another's": (lambda a: a, False),  # the array of another place, or its memory: see spoil
    "another's memory": (lambda a: a, False),
    "saved elsewhere": (lambda a: chance.choice(ELSEWHERE), False),
}  # fmt: skip
ELSEWHERE = [*saved_of_all_sorts(), _engine.Saved32.__new__(_engine.Saved32)]


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Every place in the arguments, the tuples and lists among them."""
    if here:
        yield here
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, (*here, name))
    elif isinstance(value, tuple | list):
        for index, part in enumerate(value):
            yield from places(part, (*here, index))


def at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def replaced(value: Any, place: Place, new: Any) -> Any:
    """The arguments with something else at one place."""
    if not place:
        return new
    if isinstance(value, dict):
        return {**value, place[0]: replaced(value[place[0]], place[1:], new)}
    parts = list(value)
    parts[place[0]] = replaced(parts[place[0]], place[1:], new)
    return type(value)(parts)


def copied(value: Any) -> Any:
    """The arguments with arrays of their own."""
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(copied(part) for part in value)
    return value.copy() if isinstance(value, np.ndarray) else value


def laid_over(a: Any, other: Any) -> Any:
    """An array as ``a``, in the memory of another."""
    return other.reshape(-1).view(np.uint8)[: a.nbytes].view(a.dtype).reshape(a.shape)


def spoil(arguments: dict[str, Any], place: Place, wrong: str) -> dict[str, Any]:
    """May raise where that place cannot be wrong in that way."""
    value = at(arguments, place)
    if wrong == "another's":
        new = chance.choice([o for o in arrays(arguments).values() if o.size == np.size(value)])
    elif wrong == "another's memory":
        new = laid_over(np.asarray(value), chance.choice(list(arrays(arguments).values())))
    else:
        new = WRONG[wrong][0](value)
    return replaced(arguments, place, new)  # type: ignore[no-any-return]


def arrays(value: Any) -> dict[Place, Any]:
    found = {place: at(value, place) for place in places(value)}
    return {place: part for place, part in found.items() if isinstance(part, np.ndarray)}


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """A call that was answered, though something about it was unusual, has the right results."""
    for place, value in arrays(expected).items():
        own = np.ravel(at(found, place))
        assert np.allclose(own, np.ravel(value), 1e-5, 1e-6), f"{place} is wrong"


def attempt() -> bool:
    """One call; whether it was answered."""
    name = chance.choice(list(CALLS))
    function, right = CALLS[name]
    expected = right(chance)
    arguments, same = copied(expected), True
    expected["result"] = function(*expected.values())
    for _ in range(chance.randrange(3)):
        place = chance.choice(list(places(arguments)))
        wrong = chance.choice(list(WRONG))
        try:
            arguments = spoil(arguments, place, wrong)
        except (TypeError, ValueError, OverflowError, IndexError, BufferError):  # not to be had of this place
            continue
        print(name, place, wrong, end="; ", flush=True)
        same &= WRONG[wrong][1]
    print(flush=True)
    try:
        arguments["result"] = function(*arguments.values())
    except REFUSALS:
        return False
    if same:
        check(arguments, expected)
    return True


def main(calls: int) -> None:
    answered = sum(attempt() for _ in range(calls))
    assert answered > calls / 10, f"only {answered} calls of {calls} were answered"


if __name__ == "__main__":
    main(int(sys.argv[1]))
