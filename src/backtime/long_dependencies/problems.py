"""Problems that cannot be solved without remembering, drawn at random; T is the delay.

adding   x_t = (v_t, m_t), v_t from U(0, 1); m_t is 1 at a step of each half and 0 elsewhere. After the T
         steps the answer is the sum of the two marked v (Hochreiter and Schmidhuber 1997, in the form of
         Le et al., arXiv 1504.00941). Who always says 1 has the mean squared error 2 / 12 = 0.167.
copy     10 symbols of 8, T - 1 blanks, a sign, 10 blanks: T + 20 steps. At the last 10 the answers are the
         10 symbols, in their order (Arjovsky et al., arXiv 1511.06464). Who guesses has 1 of 8 right.
order    T symbols of a b c d, but at a step from T / 10 to T / 5 and at one from T / 2 to 3 T / 5 stands X
         or Y. After the T steps the answer is which: XX, XY, YX or YY (Hochreiter and Schmidhuber 1997,
         task 6a; the places are those of Pascanu et al., arXiv 1211.5063). Chance: 1 of 4.
parity   T bits; after them the answer is whether the number of ones is odd. Chance: 1 of 2.

Solved is the adding problem at a mean squared error below 0.001, and each of the others with more than 99 %
of the answers right. No PyTorch here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

COPIED, SYMBOLS = 10, 8  # of the copy problem: how many, and of how many kinds
LETTERS = "abcdXY"
PAIRS = ("XX", "XY", "YX", "YY")


class Drawn(NamedTuple):
    """Sequences x (T, B, I), float32, and the answers at their last A steps: y (A, B), float32 or int64."""

    x: NDArray[np.float32]
    y: NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """A problem: its sizes, its measure, how it is drawn.

    - ``inputs``: numbers a step; ``outputs``: classes of an answer, 1 where it is a number
    - ``answers``: at how many steps at the end there is one
    - ``chance``: the score of who remembers nothing; ``bound``: the score that counts as solved
    - ``least``: the shortest delay there is; ``delays``: those that are tried unless others are named
    - ``draw(delay, count, random)``: that many sequences
    """

    name: str
    help: str
    inputs: int
    outputs: int
    answers: int
    chance: float
    bound: float
    least: int
    delays: tuple[int, ...]
    draw: Callable[[int, int, np.random.Generator], Drawn]

    @property
    def is_regression(self) -> bool:
        """Whether the answer is a number, and the score the mean squared error; else the share right."""
        return self.outputs == 1

    @property
    def measure(self) -> str:
        """The name of the score."""
        return "mean squared error" if self.is_regression else "accuracy"

    def is_solved(self, score: float) -> bool:
        """Whether a score is beyond the bound; one that is not a number is not."""
        return score < self.bound if self.is_regression else score > self.bound

    def is_better(self, score: float, than: float) -> bool:
        """Whether a score is the better one of two."""
        return score < than if self.is_regression else score > than


def draw_adding(delay: int, count: int, random: np.random.Generator) -> Drawn:
    """Numbers and marks; the sum of the two numbers that are marked."""
    half, who = delay // 2, np.arange(count)
    numbers = random.random((delay, count), np.float32)
    places = random.integers(0, half, count), random.integers(half, delay, count)
    marks = np.zeros_like(numbers)
    for place in places:
        marks[place, who] = 1
    total = sum(numbers[place, who] for place in places)
    return Drawn(np.stack([numbers, marks], -1), np.asarray(total)[None])


def draw_copy(delay: int, count: int, random: np.random.Generator) -> Drawn:
    """Symbols, a long blank, a sign; the symbols again."""
    blank, sign = SYMBOLS, SYMBOLS + 1
    symbols = random.integers(0, SYMBOLS, (COPIED, count))
    read = np.full((delay + 2 * COPIED, count), blank)
    read[:COPIED] = symbols
    read[COPIED + delay - 1] = sign
    return Drawn(_one_hot(read, SYMBOLS + 2), symbols)


def draw_order(delay: int, count: int, random: np.random.Generator) -> Drawn:
    """Letters with two that count; which they were."""
    who, X = np.arange(count), LETTERS.index("X")
    read = random.integers(0, X, (delay, count))
    first = random.integers(delay // 10, delay // 5, count)
    second = random.integers(delay // 2, 3 * delay // 5, count)
    marks = random.integers(0, 2, (2, count))
    read[first, who], read[second, who] = X + marks
    return Drawn(_one_hot(read, len(LETTERS)), (2 * marks[0] + marks[1])[None])


def draw_parity(delay: int, count: int, random: np.random.Generator) -> Drawn:
    """Bits; whether an odd number of them are ones."""
    bits = random.integers(0, 2, (delay, count))
    return Drawn(bits[..., None].astype(np.float32), bits.sum(0, keepdims=True) % 2)


def _one_hot(read: NDArray[np.int64], kinds: int) -> NDArray[np.float32]:
    return np.eye(kinds, dtype=np.float32)[read]


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            "adding", "add two marked numbers", 2, 1, 1, 1 / 6, 1e-3, 2, (25, 50, 100, 200), draw_adding
        ),
        Problem(
            "copy", "say again what came first", SYMBOLS + 2, SYMBOLS, COPIED, 1 / SYMBOLS, 0.99, 1,
            (1, 5, 10, 20), draw_copy,
        ),
        Problem(
            "order", "say in which order two signs came", len(LETTERS), len(PAIRS), 1, 1 / len(PAIRS), 0.99,
            10, (20, 50, 100, 200), draw_order,
        ),
        Problem("parity", "tell odd from even", 1, 2, 1, 1 / 2, 0.99, 1, (5, 10, 20, 40), draw_parity),
    )
}  # fmt: skip
