"""Sequences of different lengths: PackedSequence, lengths, resets, and traces of every step."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

from backtime import nn
from test_nn import KINDS, B, H, I, T, assert_same, everything, random_input, twins

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
FORMS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
]
PROJECTED = [("LSTM", {"proj_size": 2, **form}) for form in FORMS]
CASES = [*((kind, form) for kind in KINDS for form in FORMS), *PROJECTED]
LENGTHS = [(5, 4, 2), (2, 5, 4), (1, 1, 5), (5, 5, 5)]


class Unpacked(torch.nn.Module):
    """A layer that takes and gives padded tensors, packed between: what ``everything`` can call."""

    def __init__(self, layer: Any, lengths: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def forward(self, x: Tensor, state: Any) -> Any:
        first = self.layer.batch_first
        packed = pack_padded_sequence(x, torch.tensor(self.lengths), first, enforce_sorted=False)
        y, last = self.layer(packed, state)
        assert isinstance(y, PackedSequence)
        return pad_packed_sequence(y, first, total_length=T)[0], last


def shape_of(layer: Any) -> tuple[int, ...]:
    return (B, T, I) if layer.batch_first else (T, B, I)


@pytest.mark.parametrize(("kind", "arguments"), CASES)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("with_state", [True, False])
def test_packed_sequences_are_those_of_torch(
    kind: str, arguments: dict[str, Any], lengths: tuple[int, ...], with_state: bool
) -> None:
    ours, theirs = twins(kind, **arguments)
    x, state = random_input(ours, shape_of(ours))
    state = state if with_state else None
    assert_same(
        everything(Unpacked(ours, lengths), x, state), everything(Unpacked(theirs, lengths), x, state)
    )


def test_a_packed_sequence_comes_back_with_its_orders() -> None:
    ours, _ = twins("GRU")
    packed = pack_sequence([torch.randn(n, I).double() for n in (2, 5, 1)], enforce_sorted=False)
    y, _ = ours(packed)
    assert torch.equal(y.batch_sizes, packed.batch_sizes)
    assert torch.equal(y.sorted_indices, packed.sorted_indices)
    assert torch.equal(y.unsorted_indices, packed.unsorted_indices)
    sorted_ones = pack_sequence([torch.randn(n, I).double() for n in (5, 2, 1)])
    assert ours(sorted_ones)[0].sorted_indices is None


@pytest.mark.parametrize("kind", KINDS)
def test_packed_dropout_takes_torchs_masks(kind: str) -> None:
    ours, theirs = twins(kind, num_layers=2, dropout=0.4, bidirectional=True)
    x, state = random_input(ours)
    found = []
    for layer in (ours, theirs):
        torch.manual_seed(3)
        found.append(everything(Unpacked(layer, (2, 5, 4)), x, state))
    assert_same(*found)


class WithLengths(torch.nn.Module):
    """A layer called with lengths."""

    def __init__(self, layer: Any, lengths: Any) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def forward(self, x: Tensor, state: Any) -> Any:
        return self.layer(x, state, lengths=self.lengths)


@pytest.mark.parametrize(("kind", "arguments"), CASES)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_lengths_are_what_packing_gives(
    kind: str, arguments: dict[str, Any], lengths: tuple[int, ...]
) -> None:
    ours, theirs = twins(kind, **arguments)
    x, state = random_input(ours, shape_of(ours))
    expected = everything(Unpacked(theirs, lengths), x, state)
    for given in (torch.tensor(lengths), list(lengths), torch.tensor(lengths, dtype=torch.int32)):
        found = everything(WithLengths(ours, given), x, state)
        assert_same(found, expected)


@pytest.mark.parametrize(("kind", "arguments"), CASES)
def test_a_sequence_of_length_zero_keeps_its_state(kind: str, arguments: dict[str, Any]) -> None:
    layer, _ = twins(kind, **arguments)
    x, state = random_input(layer, shape_of(layer))
    alone, last_alone = layer(x, state)
    for lengths in ([5, 0, 5], [0, 0, 0]):
        y, last = layer(x, state, lengths=lengths)
        for n, length in enumerate(lengths):
            own, whole = (v[n] if layer.batch_first else v[:, n] for v in (y, alone))
            torch.testing.assert_close(own, whole if length else torch.zeros_like(whole))
            for part, first, end in zip(
                *(s if kind == "LSTM" else (s,) for s in (last, state, last_alone)), strict=True
            ):
                torch.testing.assert_close(part[:, n], end[:, n] if length else first[:, n])
    for part, end in zip(*(s if kind == "LSTM" else (s,) for s in (state, last)), strict=True):
        (gradient,) = torch.autograd.grad(end.sum(), part, retain_graph=True)
        assert torch.equal(gradient, torch.ones_like(part))


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_beyond_a_length_is_not_read(kind: str) -> None:
    layer, _ = twins(kind, bidirectional=True)
    x, state = random_input(layer)
    other = x.detach().clone()
    other[3:, 1] = float("nan")
    found, expected = (layer(v, state, lengths=[5, 3, 5])[0] for v in (other, x))
    assert torch.equal(found, expected)
    assert not found[3:, 1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_integers_can_be_ragged(kind: str) -> None:
    layer, _ = twins(kind, num_layers=2)
    _, state = random_input(layer)
    tokens = torch.randint(0, I, (T, B))
    one_hot = torch.nn.functional.one_hot(tokens, I).double()
    assert_same(
        everything(WithLengths(layer, [2, 5, 4]), tokens, state),
        {n: v for n, v in everything(WithLengths(layer, [2, 5, 4]), one_hot, state).items() if n != "dx"},
    )
    packed = pack_padded_sequence(tokens, torch.tensor([5, 4, 2]))
    torch.testing.assert_close(
        layer(packed)[0].data, layer(pack_padded_sequence(one_hot, torch.tensor([5, 4, 2])))[0].data
    )


# Resets.


@pytest.mark.parametrize(("kind", "arguments"), CASES)
@pytest.mark.parametrize("form", ["dense", "packed", "lengths"])
def test_a_reset_is_a_new_sequence(kind: str, arguments: dict[str, Any], form: str) -> None:
    layer, _ = twins(kind, **arguments)
    x, _ = random_input(layer, shape_of(layer))
    lengths = (5, 5, 5) if form == "dense" else (3, 5, 4)
    cut = 2
    reset = torch.zeros(x.shape[:2], dtype=torch.bool)
    rows = reset if layer.batch_first else reset.t()
    rows[1, cut] = True  # the second sequence is two
    if form == "packed":
        packed = pack_padded_sequence(x, torch.tensor(lengths), layer.batch_first, enforce_sorted=False)
        y = pad_packed_sequence(layer(packed, reset=reset)[0], layer.batch_first, total_length=T)[0]
    else:
        y = layer(x, reset=reset, **({} if form == "dense" else {"lengths": lengths}))[0]
    by_sequence = y if layer.batch_first else y.transpose(0, 1)
    xs = x if layer.batch_first else x.transpose(0, 1)
    pieces = [xs[0, : lengths[0]], xs[1, :cut], xs[1, cut:], xs[2, : lengths[2]]]
    layer.batch_first = False
    first, early, late, third = (layer(piece)[0] for piece in pieces)
    torch.testing.assert_close(by_sequence[0, : lengths[0]], first)
    torch.testing.assert_close(by_sequence[1], torch.cat([early, late]))
    torch.testing.assert_close(by_sequence[2, : lengths[2]], third)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reset_at_the_first_step_drops_the_state_given(kind: str) -> None:
    layer, _ = twins(kind)
    x, state = random_input(layer)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[0] = True
    torch.testing.assert_close(layer(x, state, reset=reset)[0], layer(x)[0])
    single = tuple(s[:, 0] for s in state) if kind == "LSTM" else state[:, 0]
    torch.testing.assert_close(layer(x[:, 0], single, reset=reset[:, 0])[0], layer(x[:, 0])[0])


# Traces.


def one_step(kind: str, layer: Any, x: Tensor, state: Any, suffix: str) -> Any:
    """The next state by torch's cell with the layer's weights."""
    cell = getattr(torch.nn, f"{kind}Cell")(x.shape[-1], H).double()
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    cell.load_state_dict({name: getattr(layer, name + suffix) for name in names})
    return cell(x, state)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_has_every_step(kind: str) -> None:
    layer, _ = twins(kind, num_layers=2, bidirectional=True)
    x, state = random_input(layer)
    y, _, steps = layer(x, state, trace=True)
    torch.testing.assert_close(y, layer(x, state)[0])
    assert len(steps) == 4
    below = x
    for n, step in enumerate(steps):
        suffix = f"_l{n // 2}" + ("_reverse" if n % 2 else "")
        h = tuple(s[n] for s in state) if kind == "LSTM" else state[n]
        for t in reversed(range(T)) if n % 2 else range(T):
            h = one_step(kind, layer, below[t], h, suffix)
            torch.testing.assert_close(step.h[t], h[0] if kind == "LSTM" else h)
            if kind == "LSTM":
                torch.testing.assert_close(step.c[t], h[1])
        if n % 2:
            below = torch.cat([steps[n - 1].h, step.h], -1)
    assert all((step.c is None) == (kind != "LSTM") for step in steps)


def test_traced_gates_make_the_states() -> None:
    lstm, x = nn.LSTM(I, H, dtype=torch.float64), torch.randn(T, B, I, dtype=torch.float64)
    _, _, (step,) = lstm(x, trace=True)
    i, f, g, o = (step.gates[name] for name in "ifgo")
    before = torch.cat([torch.zeros(1, B, H).double(), step.c[:-1]])
    torch.testing.assert_close(step.c, f * before + i * g)
    torch.testing.assert_close(step.h, o * torch.tanh(step.c))
    zi = (
        x @ lstm.weight_ih_l0[:H].T
        + torch.cat([torch.zeros(1, B, H).double(), step.h[:-1]]) @ lstm.weight_hh_l0[:H].T
    )
    torch.testing.assert_close(i, torch.sigmoid(zi + lstm.bias_ih_l0[:H] + lstm.bias_hh_l0[:H]))
    gru = nn.GRU(I, H, dtype=torch.float64, batch_first=True)
    y, _, (step,) = gru(x, trace=True, lengths=[B, 1, 2, B, 0])
    z, n = step.gates["z"], step.gates["n"]
    before = torch.cat([torch.zeros(T, 1, H).double(), step.h[:, :-1]], 1)
    inside = torch.arange(B) < torch.tensor([B, 1, 2, B, 0])[:, None]
    torch.testing.assert_close(step.h[inside], ((1 - z) * n + z * before)[inside])
    assert torch.equal(step.h, y) and not z[~inside].any()
    rnn = nn.RNN(I, H)
    packed = pack_padded_sequence(x.float(), torch.tensor([5, 4, 2]))
    y, _, (step,) = rnn(packed, trace=True)
    torch.testing.assert_close(torch.tanh(step.gates["z"].data), y.data)
