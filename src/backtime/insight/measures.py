"""What a flow is made of: the numbers of each layer, and of the gradient's truncation."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
GATE_NAMES = {
    "lstm": {"i": "input gate i", "f": "forget gate f", "g": "candidate g", "o": "output gate o"},
    "gru": {"r": "reset gate r", "z": "update gate z", "n": "candidate n"},
}
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass
class Gate:
    """How one gate, or the state of an rnn, is used; ``closed`` and ``open`` are shares of steps, (H,) each.

    A sigmoid is closed below 0.01 and open above 0.99, a tanh closed below -0.98 and open above 0.98: there
    its slope is under 4 % of the largest. A relu is closed at 0 and never open.
    """

    closed: Floats
    open: Floats

    @property
    def saturated(self) -> float:
        """Share of units and steps that are at either end."""
        return float((self.closed + self.open).mean())


@dataclass
class LevelFlow:
    """One layer in one direction. K lags; norms are log10 of |dE_t/dh_{t-k}|, -inf for zero."""

    name: str
    module: str
    layer: int
    reverse: bool
    cell: str
    activation: str  # of the rnn
    units: int
    log_mean: Floats  # (K,)  mean over losses and sequences
    log_quantiles: Floats  # (5, K)  at QUANTILES
    log_relative: Floats  # (K,)  the mean over that of the same losses at lag 0
    map: Floats  # (K, N)  log10 of the mean over sequences, loss n at step first + n; NaN before the start
    line_share: Floats | None  # (K,)  of the LSTM's cell line or the GRU's z line; None where there is none
    gates: dict[str, Gate] = field(default_factory=dict)
    unit_range: Floats = field(default_factory=lambda: np.empty(0))  # (H,)  largest h minus smallest h
    unit_still: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))  # (H,)  never moves

    def gate_name(self, letter: str) -> str:
        """In words; the rnn has none, and its state stands for it."""
        return GATE_NAMES.get(self.cell, {}).get(letter, f"state {letter}")

    @property
    def half(self) -> int | None:
        """The lag from which on the gradient is at most half of what it was; None if that never comes."""
        return fallen(self.log_relative, 0.5)

    @property
    def percent(self) -> int | None:
        """The same for 1 %."""
        return fallen(self.log_relative, 0.01)


@dataclass
class Spectrum:
    """What one step does to a gradient, and what many do."""

    name: str
    singular: Floats  # (5,)  least, quarter, median, three quarters, largest singular value of one step
    exponents: Floats  # (m,)  the largest Lyapunov exponents, nats a step, mean over sequences


@dataclass
class Truncation:
    """What truncation at n steps leaves of a gradient, for a grid of n; (M,) each.

    ``cosine`` and ``ratio`` compare with the whole gradient: when every loss goes back n steps, and when the
    text is cut into chunks of n steps, the mean over where the borders fall, as `train --seq-length n` does.
    """

    lengths: list[int]
    cosine: Floats
    ratio: Floats
    chunk_cosine: Floats
    chunk_ratio: Floats


@dataclass
class Parameter:
    """The gradient of one parameter G, the sum over lags of g_k."""

    name: str
    norm: float  # |G|
    lag_share: Floats  # (K,)  <g_k, G> / |G|^2; they add up to 1
    truncation: Truncation


@dataclass
class Flow:
    """The gradient through time of the recurrent layers of a model, on one batch."""

    steps: int  # T
    sequences: int  # B
    losses: int  # how many steps send a gradient back
    loss: float
    levels: list[LevelFlow]
    parameters: list[Parameter]
    truncation: Truncation | None  # of all these parameters together
    gap: float | None  # |sum over lags - whole gradient| / |whole gradient|; None where lags were left out
    spectra: list[Spectrum] = field(default_factory=list)  # of each level, where they were asked for

    @property
    def lags(self) -> int:
        """K."""
        return max(len(level.log_mean) for level in self.levels)


def fallen(log_relative: Floats, share: float) -> int | None:
    """The first lag from which on log10 values stay at or below that of ``share``; None if there is none."""
    above = np.flatnonzero(~(log_relative <= np.log10(share) + 1e-12))
    lag = int(above[-1]) + 1 if above.size else 0
    return lag if lag < len(log_relative) else None
