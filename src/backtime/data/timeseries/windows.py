"""Stretches of past and future of series, side by side, and what a network reads and is held against.

C columns stand in the order of ``Columns.numbers``: K targets, then what is known up to now, then F that are
known ahead. A window has T = lookback rows of past and S = horizon rows of future.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError, shown

Rows = NDArray[np.float32]
ANCHORS = ("none", "last", "season")
STRATEGIES = ("direct", "recursive")


@dataclass(frozen=True)
class Frame:
    """The shape of a window, and what a network's outputs are added to.

    - ``anchor``: ``last`` adds them to the last known value, ``season`` to the value a season before,
      ``none`` to zero. But for ``none`` the network reads the targets less the last value of the past: it
      then does not depend on their level.
    """

    lookback: int
    horizon: int
    targets: int
    known: int
    season: int = 1
    anchor: str = "last"
    strategy: str = "direct"

    def to_json(self) -> dict[str, Any]:
        """The fields as a value for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Frame":
        """The frame of ``to_json``'s value; raises ``UsageError`` when it is something else."""
        names = [field.name for field in fields(cls)]
        if not isinstance(value, dict) or sorted(value) != sorted(names):
            raise UsageError(f"windows are {shown(value)}; expected an object of {', '.join(names)}")
        found = cls(**value)
        found.check()
        return found

    def check(self) -> None:
        """Raise ``UsageError`` where a field has a value that no window can have."""
        for name, least in (("lookback", 1), ("horizon", 1), ("targets", 1), ("known", 0), ("season", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UsageError(f"{name} is {value!r}; expected a whole number from {least}")
        for name, choices in (("anchor", ANCHORS), ("strategy", STRATEGIES)):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}")
        if self.anchor == "season" and self.lookback < self.season:
            raise UsageError(
                f"--lookback {self.lookback} is less than the season of {self.season}; --anchor season needs "
                "a whole season in the past"
            )


class Batch(NamedTuple):
    """What a network reads and is held against; float32.

    ``x`` (T, B, I), or (T + S - 1, B, I) for the recursive strategy; ``known`` (S, B, F); ``base`` (S, B, K),
    which the outputs are added to; ``targets`` (S, B, K).
    """

    x: Rows
    known: Rows
    base: Rows
    targets: Rows


class Windows:
    """The windows of series whose future lies wholly in a stretch of each.

    ``series`` are scaled, each (N, C); ``stretches`` the first row of the future and the row after its last
    one. ``rows(numbers)`` is (B, T + S, C).
    """

    def __init__(
        self, series: list[Rows], stretches: list[tuple[int, int]], frame: Frame, stride: int = 1
    ) -> None:
        """Find where each window starts; nothing is copied."""
        self.series, self.frame = series, frame
        places = []
        for number, (begin, end) in enumerate(stretches):
            first = max(0, begin - frame.lookback)
            last = min(end, len(series[number])) - frame.lookback - frame.horizon
            starts = np.arange(last, first - 1, -stride)[::-1] if last >= first else np.zeros(0, np.int64)
            places.append(np.stack([np.full(starts.size, number), starts], 1))
        self.places: NDArray[np.int64] = np.concatenate(places)

    def __len__(self) -> int:
        """The number of windows."""
        return len(self.places)

    def rows(self, numbers: NDArray[np.int64]) -> Rows:
        """Past and future of some windows, (B, T + S, C)."""
        length = self.frame.lookback + self.frame.horizon
        return np.stack([self.series[which][at : at + length] for which, at in self.places[numbers].tolist()])


def make_batch(rows: Rows, frame: Frame) -> Batch:
    """Rows (B, T + S, C) as a network of the frame's strategy reads them."""
    T, S, K = frame.lookback, frame.horizon, frame.targets
    first_known = rows.shape[2] - frame.known
    level = rows[:, T - 1 : T, :K] if frame.anchor != "none" else np.zeros_like(rows[:, :1, :K])
    targets, known = rows[:, T:, :K], rows[:, T:, first_known:]
    if frame.strategy == "direct":
        x = np.concatenate([rows[:, :T, :K] - level, rows[:, :T, K:]], 2)
        base = anchored(rows[:, :T, :K], frame)
    else:
        x = np.concatenate([rows[:, :-1, :K] - level, rows[:, 1:, first_known:]], 2)
        back = {"last": 1, "season": frame.season}.get(frame.anchor, 0)
        base = rows[:, T - back : T + S - back, :K] if back else np.zeros_like(targets)
    return Batch(*(np.ascontiguousarray(part.swapaxes(0, 1)) for part in (x, known, base, targets)))


def every_step(rows: Rows, frame: Frame) -> Batch:
    """The same with an output after each step of the lookback, without an anchor; N = T B.

    Direct: ``known`` and ``targets`` are the S rows after each of T steps, (S, N, .). Recursive: ``targets``
    (T + S - 1, B, K) are the row after each.
    """
    batch, S, K = make_batch(rows, frame), frame.horizon, frame.targets
    if frame.strategy == "recursive":
        targets = np.ascontiguousarray(rows[:, 1:, :K].swapaxes(0, 1))
        return Batch(batch.x, batch.known, np.zeros_like(targets), targets)
    ahead = np.lib.stride_tricks.sliding_window_view(rows[:, 1:], S, axis=1)  # (B, T, C, S)
    found = np.ascontiguousarray(ahead.transpose(3, 1, 0, 2)).reshape(S, -1, rows.shape[2])
    known, targets = found[:, :, rows.shape[2] - frame.known :], np.ascontiguousarray(found[:, :, :K])
    return Batch(batch.x, np.ascontiguousarray(known), np.zeros_like(targets), targets)


def anchored(past: Rows, frame: Frame) -> Rows:
    """What the outputs are added to, (B, S, K), from the past targets (B, T, K)."""
    if frame.anchor == "none":
        return np.zeros((len(past), frame.horizon, past.shape[2]), past.dtype)
    return naive(past, frame.horizon, frame.season if frame.anchor == "season" else 1)


def naive(past: NDArray[Any], horizon: int, season: int = 1) -> NDArray[Any]:
    """The last ``season`` values of the past (B, T, K) over and over: (B, S, K); 1 repeats the last value."""
    T = past.shape[1]
    found: NDArray[Any] = past[:, T - season + np.arange(horizon) % season]
    return found
