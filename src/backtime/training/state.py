"""What a run remembers from step to step, besides tensors: plain numbers, kept as JSON in every save."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from backtime.errors import UsageError
from backtime.fields import read


@dataclass
class Window:
    """The steps since the last log line: losses, how many numbers each is the mean of, gradient norms."""

    losses: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    clipped: int = 0
    seconds: float = 0.0  # of the steps alone, without validations and saves

    def add(self, loss: float, count: int, norm: float, clipped: bool) -> None:
        """Count one step."""
        self.losses.append(loss)
        self.counts.append(count)
        self.norms.append(norm)
        self.clipped += clipped

    @property
    def count(self) -> int:
        """How many numbers the losses are the mean of."""
        return sum(self.counts)

    @property
    def loss(self) -> float | None:
        """The mean loss, over all numbers; None before the first step."""
        if not self.losses:
            return None
        total = math.fsum(loss * count for loss, count in zip(self.losses, self.counts, strict=True))
        return total / self.count

    @property
    def norm(self) -> float | None:
        """The mean gradient norm, before clipping."""
        return math.fsum(self.norms) / len(self.norms) if self.norms else None

    @property
    def share_clipped(self) -> float:
        """The share of the steps whose gradient was clipped."""
        return self.clipped / max(1, len(self.losses))


@dataclass
class RunState:
    """Where a run stands; saved, it is where a resumed run starts."""

    horizon: int  # epochs the run was begun with: the length of the cosine
    step: int = 0
    epoch: int = 0  # complete ones
    chunk: int = 0  # step of the current epoch: the next to be taken
    tokens: int = 0
    seconds: float = 0.0  # of training, over all sessions
    window: Window = field(default_factory=Window)
    lines: int = 0  # of metrics.jsonl that belong to this state
    start_loss: float | None = None  # of the untrained model
    best: float | None = None  # of the main metric, in validation
    best_step: int = 0
    stale: int = 0  # validations since the best one
    plateau_wait: int = 0
    plateau_drops: int = 0
    validations: list[float] = field(default_factory=list)  # of averaged SGD: all values of the main metric
    rollbacks: int = 0
    penalty: float = 1.0  # factor on the learning rate, halved at each rollback

    def to_json(self) -> dict[str, Any]:
        """The state as plain values; Python writes and reads floats in JSON without loss."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "RunState":
        """The state of ``to_json``, or of version 0.1.0's; ``UsageError`` where it is something else."""
        if isinstance(values, dict) and "best_loss" in values:
            values = {**values, "best": values["best_loss"]}
            del values["best_loss"]
        if isinstance(values, dict):  # which earlier versions did not have
            values = {"validations": [], **values}
        state: RunState = read(cls, values, "the state of the run", complete=True)
        window = state.window
        if not window.counts:  # 0.1.0: every step had the same number of tokens
            window.counts = [state.tokens // max(1, state.step)] * len(window.losses)
        if not len(window.losses) == len(window.counts) == len(window.norms):
            raise UsageError("the state of the run: window has losses, counts and norms of unequal number")
        if min(state.horizon, state.step, state.epoch, state.chunk, state.tokens, state.lines) < 0:
            raise UsageError("the state of the run: a number of it is below zero")
        return state
