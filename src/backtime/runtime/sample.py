"""Drawing symbols from logits: temperature, top-k, top-p; and ending at a stop string."""

import math
from collections.abc import Iterator, Sequence

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

    def probabilities(self, logits: Array) -> NDArray[np.float64]:
        """What ``draw`` draws from: p (V,), after temperature and cuts."""
        p = np.zeros(len(logits))
        if self.greedy:
            p[int(logits.argmax())] = 1.0
            return p
        z = (logits.astype(np.float64) - logits.max()) * self.sharpness
        if self.top_k:
            keep_largest(z, self.top_k)
        masses = np.exp(z)
        if self.top_p < 1:
            chosen = nucleus(masses, self.top_p)
            p[chosen] = masses[chosen]
            masses = p
        if not math.isfinite(masses.sum()):
            raise _not_finite()
        found: NDArray[np.float64] = masses / masses.sum()
        return found

    @property
    def plain(self) -> bool:
        """Whether nothing is cut off and chance decides."""
        return not (self.greedy or self.top_k) and self.top_p >= 1

    def chance(self) -> float:
        """The next random number in [0, 1), of which a symbol takes one."""
        return self._next()

    def go_on_from(self, other: "Sampler") -> None:
        """Take over the random numbers of another sampler, where they are."""
        self._next = other._next

    def _draw_from_nucleus(self, p: NDArray[np.float64]) -> int:
        chosen = nucleus(p, self.top_p)
        masses = np.add.accumulate(p[chosen])
        if not masses[-1] < math.inf:
            raise _not_finite()
        return int(chosen[masses.searchsorted(self._next() * masses[-1], "right")])


@np.errstate(invalid="ignore")
def draw_together(samplers: Sequence[Sampler], logits: Array) -> list[int]:
    """What each sampler draws from its row of ``logits`` (B, V), every one as if it were alone.

    -1 stands for a row whose outputs are not finite numbers, which ``Sampler.draw`` refuses.
    """
    drawn = [-1 if own.plain else _drawn(own, z) for own, z in zip(samplers, logits, strict=True)]
    plain = [n for n, own in enumerate(samplers) if own.plain]
    if not plain:
        return drawn
    z = logits if len(plain) == len(samplers) else logits[plain]
    p = np.subtract(z, z.max(1, keepdims=True), dtype=np.float64)
    p *= np.array([[samplers[n].sharpness] for n in plain])
    np.exp(p, p)
    np.add.accumulate(p, 1, out=p)
    masses = p[:, -1].copy()
    at = np.array([samplers[n].chance() for n in plain]) * masses
    found = (p <= at[:, None]).sum(1).tolist()
    for n, symbol, mass in zip(plain, found, masses.tolist(), strict=True):
        drawn[n] = symbol if mass < math.inf else -1
    return drawn


def _drawn(sampler: Sampler, logits: Array) -> int:
    try:
        return sampler.draw(logits)
    except UsageError:
        return -1


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
