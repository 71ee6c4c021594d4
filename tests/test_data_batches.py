"""Contiguous streams: the text exactly once, in order, and no more of it in memory than a chunk."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtime.data.batching.streams import Span, Streams, split
from backtime.errors import UsageError

sizes = st.integers(1, 9)


def streams_of(streams, part):
    """The tokens of all streams, one after the other; ``part`` is 0 for the inputs, 1 for the targets."""
    columns = [[] for _ in range(streams.batch_size)]
    for chunk in streams:
        for b in range(chunk[part].shape[1]):
            columns[b].extend(chunk[part][:, b].tolist())
    return list(itertools.chain.from_iterable(columns))


@given(B=sizes, T=sizes, extra=st.integers(0, 200))
def test_training_chunks_are_the_text_once_in_order(B, T, extra):
    N = B * T + 1 + extra
    streams = Streams(np.arange(N, dtype=np.uint8 if N < 256 else np.uint16), B, T)
    joined = streams_of(streams, 0)
    assert joined == list(range(len(joined)))
    assert streams_of(streams, 1) == list(range(1, len(joined) + 1))
    assert len(joined) == streams.targets_total == len(streams) * B * T
    assert N - 1 - len(joined) < B * T  # what is left out would not fill a chunk
    for x, targets in streams:
        assert x.shape == targets.shape == (T, B)
        assert x.dtype == targets.dtype == np.int64
        assert x.flags.c_contiguous and targets.flags.c_contiguous


@given(B=sizes, T=sizes, N=st.integers(2, 300))
def test_exact_chunks_have_every_token_but_the_first_as_target_once(B, T, N):
    streams = Streams(np.arange(N), B, T, exact=True)
    assert streams_of(streams, 1) == list(range(1, N))
    assert streams_of(streams, 0) == list(range(N - 1))
    assert streams.targets_total == N - 1 == sum(targets.size for _, targets in streams)
    widths = [x.shape[1] for x, _ in streams]
    assert len(widths) == len(streams)
    assert set(widths[:-1]) <= {streams.batch_size}  # only the last chunk may be narrower
    assert streams.batch_size == min(B, max(1, (N - 1) // T))


def test_a_stream_goes_on_where_its_last_chunk_stopped():
    streams = Streams(np.arange(1000), 3, 10)
    for k in range(1, len(streams)):
        assert np.array_equal(streams.chunk(k)[0][0], streams.chunk(k - 1)[1][-1])


def test_the_parts_are_contiguous_and_the_validation_part_is_the_end():
    tokens = np.arange(1000)
    training, validation = split(tokens)
    assert training[:].tolist() + validation[:].tolist() == tokens.tolist()
    assert (len(training), len(validation)) == (950, 50)
    assert (len(split(tokens, 0)[0]), len(split(tokens, 0)[1])) == (1000, 0)
    x, _ = Streams(validation, 2, 5).chunk(0)
    assert x[:, 0].tolist() == [950, 951, 952, 953, 954]
    assert np.shares_memory(training[:], tokens)


@given(start=st.integers(-12, 12), stop=st.integers(-12, 12))
def test_a_span_slices_as_the_array_would(start, stop):
    tokens = np.arange(20)
    assert np.array_equal(Span(tokens, 5, 15)[start:stop], tokens[5:15][start:stop])


def test_a_short_text_says_what_to_lower():
    message = (
        "the text has 120 tokens; batch-size 50 x seq-length 50 needs at least 2,501: "
        "lower --batch-size or --seq-length"
    )
    with pytest.raises(UsageError) as caught:
        Streams(np.arange(120), 50, 50)
    assert str(caught.value) == message
    assert len(Streams(np.arange(2501), 50, 50)) == 1
    with pytest.raises(UsageError, match="has 2,500 tokens"):
        Streams(np.arange(2500), 50, 50)
    with pytest.raises(UsageError, match="has 1 tokens; expected at least 2"):
        Streams(np.arange(1), 50, 50, exact=True)


def test_bad_arguments_are_refused():
    tokens = np.arange(100)
    for arguments, name in (((0, 5), "batch_size is 0"), ((5, -1), "seq_length is -1")):
        with pytest.raises(UsageError, match=name):
            Streams(tokens, *arguments)
    for fraction in (-0.1, 1, float("nan")):
        with pytest.raises(UsageError, match="validation_fraction is"):
            split(tokens, fraction)
    with pytest.raises(UsageError, match="chunk is 10; expected 0 to 8"):
        Streams(tokens, 2, 5).chunk(10)
    with pytest.raises(UsageError, match="step 2"):
        Span(tokens, 0, 10)[::2]
