"""Drawing from logits: against exact probabilities, exact sets, and the stop string."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from backtime import UsageError
from backtime.runtime.sample import LEAST_TEMPERATURE, Sampler, StopString, keep_largest, nucleus

LOGITS = np.array([2.0, -1.0, 0.5, 0.5, 3.0, -4.0, 0.0], np.float32)
DRAWS = 20_000


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def chi_square(counts: np.ndarray, p: np.ndarray) -> float:
    """Pearson's statistic over the symbols that can be drawn; infinite when another one was."""
    if counts[p == 0].any():
        return math.inf
    expected = p[p > 0] * counts.sum()
    return float(((counts[p > 0] - expected) ** 2 / expected).sum())


def draw(logits: np.ndarray = LOGITS, n: int = DRAWS, **arguments: Any) -> np.ndarray:
    sampler = Sampler(len(logits), **arguments)
    return np.array([sampler.draw(logits) for _ in range(n)])


def truth(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> np.ndarray:
    """The distribution by its definition, one symbol at a time."""
    p = softmax(LOGITS.astype(np.float64) / temperature)
    order = sorted(range(len(p)), key=lambda i: (-p[i], i))
    order = order[: top_k or None]
    mass, kept = 0.0, []
    for i in order:
        kept.append(i)
        mass += p[i]
        if mass >= top_p * p[order].sum():
            break
    cut = np.zeros_like(p)
    cut[kept] = p[kept]
    return cut / cut.sum()


CASES = [
    {},
    {"temperature": 0.5},
    {"temperature": 3.0},
    {"top_k": 3},
    {"top_k": 1},
    {"top_p": 0.9},
    {"top_p": 0.05},
    {"temperature": 2.0, "top_k": 5, "top_p": 0.8},
]


@pytest.mark.parametrize("arguments", CASES)
def test_frequencies_are_the_exact_probabilities(arguments: dict[str, Any]) -> None:
    counts = np.bincount(draw(seed=1, **arguments), minlength=len(LOGITS))
    # 6 degrees of freedom at most: a right sampler exceeds 27.9 with one seed in ten thousand
    assert chi_square(counts, truth(**arguments)) < 27.9


def test_the_frequency_test_can_fail() -> None:
    counts = np.bincount(draw(seed=1), minlength=len(LOGITS))
    assert chi_square(counts, truth(temperature=1.1)) > 27.9
    assert chi_square(counts, truth(top_k=6)) > 27.9


@pytest.mark.parametrize("k", range(1, 7))
def test_top_k_keeps_exactly_k_and_of_equal_ones_the_first(k: int) -> None:
    z = LOGITS.astype(np.float64)
    keep_largest(z, k)
    assert set(np.flatnonzero(np.isfinite(z))) == set([4, 0, 2, 3, 6, 1, 5][:k])
    kept = np.isfinite(z)
    assert np.array_equal(z[kept], LOGITS[kept])


def test_top_k_of_equal_logits() -> None:
    z = np.zeros(8)
    keep_largest(z, 3)
    assert np.flatnonzero(np.isfinite(z)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(1e-9, [3]), (0.5, [3]), (0.501, [3, 1]), (0.75, [3, 1]), (0.76, [3, 1, 0]), (0.99, [3, 1, 0, 2])],
)
def test_nucleus_is_the_smallest_set_that_reaches_the_mass(top_p: float, expected: list[int]) -> None:
    p = np.array([0.125, 0.25, 0.125, 0.5])  # powers of two: sums are exact, so the boundaries are
    assert nucleus(p, top_p).tolist() == expected
    assert nucleus(3.0 * p, top_p).tolist() == expected  # need not be normalised


@pytest.mark.parametrize(
    "arguments", [{"greedy": True}, {"temperature": 0}, {"temperature": 1e-300}, {"top_k": 1}]
)
def test_greedy_limits(arguments: dict[str, Any]) -> None:
    assert set(draw(n=50, **arguments)) == {4}


def test_greedy_takes_the_first_of_equal_ones() -> None:
    assert Sampler(3, greedy=True).draw(np.array([1.0, 2.0, 2.0], np.float32)) == 1


def test_top_k_beyond_the_vocabulary_keeps_all() -> None:
    for k in (0, 7, 1000):
        assert np.array_equal(draw(n=200, top_k=k), draw(n=200))


def test_the_same_seed_draws_the_same_symbols() -> None:
    assert np.array_equal(draw(n=3000, seed=5), draw(n=3000, seed=5))
    assert not np.array_equal(draw(n=3000, seed=5), draw(n=3000, seed=6))


def test_one_random_number_a_symbol_in_the_generators_order() -> None:
    u = np.random.Generator(np.random.PCG64(9)).random(3000)  # more than a block
    expected = np.searchsorted(np.cumsum(softmax(LOGITS.astype(np.float64))), u, "right")
    assert np.array_equal(draw(n=3000, seed=9), expected)


def test_logits_are_left_alone() -> None:
    logits = LOGITS.copy()
    draw(logits, n=3, top_k=2, top_p=0.5, temperature=0.3)
    assert np.array_equal(logits, LOGITS)


def test_huge_logits_and_minus_infinity() -> None:
    logits = np.array([3e38, -np.inf, 3e38, -3e38], np.float32)
    assert set(draw(logits, n=200)) == {0, 2}
    assert set(draw(logits, n=200, temperature=LEAST_TEMPERATURE)) == {0, 2}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("arguments", [{}, {"greedy": True}, {"top_p": 0.5}, {"top_k": 2}])
def test_a_diverged_model_is_named(bad: float, arguments: dict[str, Any]) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(UsageError, match="not finite"):
        draw(np.array([0.0, bad, 1.0], np.float32), n=1, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; expected a finite number from 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 0.0}, r"top_p is 0.0; expected a number in \(0, 1\]"),
        ({"top_p": 1.01}, "top_p is 1.01"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Sampler(7, **arguments)


def until(stop: str, pieces: list[str]) -> str:
    gate = StopString(stop)
    shown = ""
    for piece in pieces:
        shown += gate.feed(piece)
        if gate.found:
            return shown
    return shown + gate.held


@pytest.mark.parametrize("stop", ["b", "ab", "aab", "abab", "aa", "xyz"])
def test_stop_string_across_pieces(stop: str) -> None:
    """Every text of 7 letters a, b in pieces of 1, 2 and 3: what str.partition says."""
    for letters in itertools.product("ab", repeat=7):
        text = "".join(letters)
        for size in (1, 2, 3):
            pieces = [text[i : i + size] for i in range(0, len(text), size)]
            assert until(stop, pieces) == text.partition(stop)[0]


def test_only_a_possible_beginning_is_held_back() -> None:
    gate = StopString("END")
    assert [gate.feed(c) for c in "aEENx"] == ["a", "", "E", "", "ENx"]
    assert not gate.found


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError, match="stop is empty"):
        StopString("")
