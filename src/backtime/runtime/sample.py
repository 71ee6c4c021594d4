"""Drawing symbols from logits: temperature, top-k, top-p; and ending at a stop string."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError
from backtime.reference.weights import Array

LEAST_TEMPERATURE = 1e-100  # below it, (z - max z) / temperature could overflow; the draw is the same
BLOCK = 1024  # random numbers drawn at once; the sequence does not depend on it


class Sampler:
    """Draws symbol numbers from logits z (V,): p = softmax(z / temperature), cut to top-k, then to top-p.

    - ``temperature`` 0, or ``greedy``: always the largest logit, the first of equal ones
    - ``top_k`` k > 0: only the k most likely symbols (of equally likely ones, those that come first); 0 or
      k >= V keeps all
    - ``top_p`` p < 1: only the smallest set of most likely symbols whose mass reaches p, one at least;
      Holtzman et al., arXiv 1904.09751. The mass is that of what top-k left.
    - ``seed``: of PCG64; one number is used a symbol, so a seed gives the same text on every machine and any
      number of threads as long as the logits are the same

    Raises ``UsageError`` naming the argument that does not fit.
    """

    def __init__(
        self,
        V: int,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        greedy: bool = False,
        seed: int = 0,
    ) -> None:
        """Check the arguments."""
        _check(temperature, top_k, top_p, seed)
        self.greedy = greedy or temperature == 0
        self.sharpness = 1.0 / max(temperature, LEAST_TEMPERATURE)
        self.top_k = top_k if top_k < V else 0
        self.top_p = top_p
        self._p = np.empty(V)  # float64 scratch; then the cumulative masses
        self._next = _uniform(seed).__next__

    def draw(self, logits: Array) -> int:
        """The number of the next symbol; ``logits`` (V,) are left as they are."""
        if self.greedy:
            best = int(logits.argmax())
            if not math.isfinite(logits[best]):
                raise _not_finite()
            return best
        p = self._p
        np.subtract(logits, np.maximum.reduce(logits), p, dtype=np.float64)
        np.multiply(p, self.sharpness, p)
        if self.top_k:
            keep_largest(p, self.top_k)
        np.exp(p, p)
        if self.top_p < 1:
            return self._draw_from_nucleus(p)
        np.add.accumulate(p, out=p)
        mass = float(p[-1])
        if not mass < math.inf:
            raise _not_finite()
        return int(p.searchsorted(self._next() * mass, "right"))

    def _draw_from_nucleus(self, p: NDArray[np.float64]) -> int:
        chosen = nucleus(p, self.top_p)
        masses = np.add.accumulate(p[chosen])
        if not masses[-1] < math.inf:
            raise _not_finite()
        return int(chosen[masses.searchsorted(self._next() * masses[-1], "right")])


def keep_largest(z: NDArray[np.float64], k: int) -> None:
    """Set all but the ``k`` largest of ``z`` to -inf, in place; of equal ones the first stay."""
    least = np.partition(z, z.size - k)[z.size - k]
    z[z < least] = -np.inf
    kept = np.count_nonzero(z >= least)
    if kept > k:
        z[np.flatnonzero(z == least)[k - kept :]] = -np.inf


def nucleus(p: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """The smallest set of indices of ``p`` whose mass reaches ``top_p`` of the whole, likeliest first."""
    order = np.argsort(-p, kind="stable")
    masses = np.add.accumulate(p[order])
    return order[: int(masses.searchsorted(top_p * masses[-1], "left")) + 1]


class StopString:
    """Passes text on up to ``stop`` and holds back what may be the beginning of it."""

    def __init__(self, stop: str) -> None:
        """``stop`` is one character at least."""
        if not stop:
            raise UsageError("stop is empty; expected at least one character")
        self.stop, self.held, self.found = stop, "", False

    def feed(self, piece: str) -> str:
        """The text that can be shown after ``piece``; ``found`` is true when the stop string is complete."""
        text = self.held + piece
        before, stop, _ = text.partition(self.stop)
        if stop:
            self.held, self.found = "", True
            return before
        most = min(len(self.stop) - 1, len(text))
        keep = next((n for n in range(most, 0, -1) if self.stop.startswith(text[-n:])), 0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _uniform(seed: int) -> Iterator[float]:
    generator = np.random.Generator(np.random.PCG64(seed))
    while True:
        yield from generator.random(BLOCK).tolist()


def _not_finite() -> UsageError:
    return UsageError("the model's outputs are not finite numbers; its training has diverged")


def _check(temperature: float, top_k: int, top_p: float, seed: int) -> None:
    if not 0 <= temperature < math.inf:
        raise UsageError(f"temperature is {temperature}; expected a finite number from 0")
    if top_k < 0:
        raise UsageError(f"top_k is {top_k}; expected a whole number from 0")
    if not 0 < top_p <= 1:
        raise UsageError(f"top_p is {top_p}; expected a number in (0, 1]")
    if seed < 0:
        raise UsageError(f"seed is {seed}; expected a whole number from 0")
