"""Records in batches of nearly equal length: each once an epoch, the same for a seed, packed and back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from backtime.data.batching.buckets import Buckets, pack, unpack
from backtime.errors import UsageError

LENGTHS = np.random.default_rng(0).integers(1, 200, 1003)


def epoch(buckets: Buckets, number: int) -> list[list[int]]:
    return [buckets.batch(number, k).tolist() for k in range(len(buckets))]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=80),
    st.integers(1, 90),
    st.integers(0, 3),
    st.booleans(),
    st.integers(1, 4),
)
def test_every_record_comes_once_an_epoch_and_the_longest_of_a_batch_first(
    lengths: list[int], batch_size: int, number: int, shuffle: bool, pool: int
) -> None:
    buckets = Buckets(lengths, batch_size, seed=7, shuffle=shuffle, pool=pool)
    batches = epoch(buckets, number)
    assert sorted(record for batch in batches for record in batch) == list(range(len(lengths)))
    for batch in batches:
        own = [lengths[record] for record in batch]
        assert own == sorted(own, reverse=True)
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)


def test_the_order_is_that_of_seed_and_epoch_wherever_it_is_asked() -> None:
    whole = [epoch(Buckets(LENGTHS, 32, seed=3), number) for number in range(3)]
    resumed = Buckets(LENGTHS, 32, seed=3)
    assert resumed.batch(2, 17).tolist() == whole[2][17]
    assert resumed.batch(1, 5).tolist() == whole[1][5]
    assert epoch(resumed, 2) == whole[2]
    assert whole[0] != whole[1] and epoch(Buckets(LENGTHS, 32, seed=4), 0) != whole[0]
    still = Buckets(LENGTHS, 32, shuffle=False)
    assert epoch(still, 0) == epoch(still, 5)


def test_an_order_of_before_is_still_that_order() -> None:
    """A run that was saved by this version must find its batches in every later one."""
    buckets = Buckets([3, 1, 2, 5, 4, 2, 1], 3, seed=1)
    assert epoch(buckets, 0) == [[6], [5, 2, 1], [3, 4, 0]]
    assert epoch(buckets, 1) == [[1], [2, 5, 6], [3, 4, 0]]


def test_batches_are_of_nearly_one_length_and_yet_mixed() -> None:
    def waste(pool: int) -> float:
        buckets = Buckets(LENGTHS, 32, pool=pool)
        padded = sum(32 * int(LENGTHS[batch].max()) for batch in epoch(buckets, 0))
        return padded / int(LENGTHS.sum()) - 1

    assert waste(1) > 0.5 > 0.1 > waste(50)
    buckets = Buckets(LENGTHS, 32, pool=4)
    firsts = [{tuple(sorted(batch)) for batch in epoch(buckets, number)} for number in range(2)]
    assert not firsts[0] & firsts[1]  # other company in every epoch
    longest = [int(LENGTHS[batch[0]]) for batch in epoch(buckets, 0)]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)


@pytest.mark.parametrize(
    ("lengths", "batch_size", "words"),
    [
        ([], 2, r"lengths has shape \(0,\)"),
        ([3, 0, 2], 2, "record 1 is empty"),
        ([3], 0, "batch_size is 0; expected a number from 1"),
        ([[3]], 1, r"lengths has shape \(1, 1\)"),
    ],
)
def test_impossible_records(lengths: list[int], batch_size: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Buckets(lengths, batch_size)
    with pytest.raises(UsageError, match="batch is 1; expected 0 to 0"):
        Buckets([3], 1).batch(0, 1)


@pytest.mark.parametrize("lengths", [[1], [4], [5, 5, 3, 1], [3, 1, 1], [1, 1, 1]])
@pytest.mark.parametrize("width", [(), (3,)])
def test_packed_rows_are_those_of_pytorch_and_come_back(lengths: list[int], width: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    records = [rng.standard_normal((length, *width)) for length in lengths]
    packed = pack(records)
    expected = pack_sequence([torch.from_numpy(record) for record in records])
    assert np.array_equal(packed.rows, expected.data.numpy())
    assert np.array_equal(packed.batch_sizes, expected.batch_sizes.numpy())
    for before, after in zip(records, unpack(packed), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("lengths", [[], [2, 3], [2, 0]])
def test_what_cannot_be_packed(lengths: list[int]) -> None:
    with pytest.raises(UsageError, match="expected the longest first, none 0"):
        pack([np.zeros(length) for length in lengths])
