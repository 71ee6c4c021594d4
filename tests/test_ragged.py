"""Packed rows: each sequence alone, lengths of any order and none, torch's PackedSequence as a witness."""

from typing import Any

import numpy as np
import pytest

from agreement import TORCH_TOLERANCE, assert_close
from backtime import UsageError, kernels
from backtime.reference import Packing
from backtime.reference.sequences import rows_of
from cases import OPTION_CASES, STATE, make, pack, train_step
from witness import torch_copy

LENGTHS = [[4], [3, 3, 3], [1, 5, 2, 5], [2, 0, 4, 0], [0, 0, 3], [0, 0]]
CELLS = ["rnn", "gru", "lstm", "jordan"]


@pytest.mark.parametrize("lengths", [*LENGTHS, []], ids=str)
def test_a_packing_is_its_definition(lengths: list[int]) -> None:
    """Step after step, of each step the sequences that have it, the longest first."""
    B, T = len(lengths), max(lengths, default=0)
    x = np.arange(5 * B * 2).reshape(5, B, 2)
    order = sorted(range(B), key=lambda b: -lengths[b])
    rows = [(t, b) for t in range(T) for b in order if lengths[b] > t]
    packing = Packing.of(lengths)
    assert packing.order.tolist() == order
    assert packing.batch_sizes.tolist() == [sum(n > t for n in lengths) for t in range(T)]
    assert packing.batch_sizes.dtype == np.int64
    packed = packing.pack(x)
    assert packed.tolist() == [x[t, b].tolist() for t, b in rows]
    state = np.arange(B)
    assert state[packing.order][packing.inverse].tolist() == state.tolist()
    for longest in (None, 5):
        back = packing.unpack(packed, longest)
        assert back.shape == (T if longest is None else 5, B, 2)
        for b, n in enumerate(lengths):
            assert np.array_equal(back[:n, b], x[:n, b])
            assert not back[n:, b].any()


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_a_packing_is_that_of_torch(lengths: list[int]) -> None:
    torch = pytest.importorskip("torch")
    if 0 in lengths:
        lengths = [n + 1 for n in lengths]  # torch has no sequences of length zero
    x = np.random.default_rng(0).standard_normal((max(lengths), len(lengths), 3))
    witness = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(lengths), enforce_sorted=False
    )
    packing = Packing.of(np.array(lengths))
    np.testing.assert_array_equal(packing.batch_sizes, witness.batch_sizes)
    sorts = [
        sorted(zip(lengths, order.tolist(), strict=True)) for order in (packing.order, witness.sorted_indices)
    ]
    assert len(sorts[0]) == len(sorts[1])
    same_order = Packing.of(sorted(lengths, reverse=True))
    np.testing.assert_array_equal(same_order.pack(x[:, witness.sorted_indices.numpy()]), witness.data)


def test_the_rows_of_a_sequence_are_read_off_the_batch_sizes() -> None:
    batch_sizes = np.array([3, 3, 1, 1])
    assert [rows_of(batch_sizes, b).tolist() for b in range(4)] == [[0, 3, 6, 7], [1, 4], [2, 5], []]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", [n for n in OPTION_CASES if n.endswith((" all", "everything", "plain"))])
def test_packed_rows_are_each_sequence_alone(name: str, reverse: bool, lengths: list[int]) -> None:
    """Outputs, states and gradients of each; the weights' gradients are their sums. To the bit."""
    cell, B = OPTION_CASES[name].cell, len(lengths)
    case, options = OPTION_CASES[name].build(5, B, 3, 6)
    packing = Packing.of(lengths)
    packed, own = pack(case, options, lengths)
    found = train_step(cell, packed, reverse=reverse, **own)
    y, dx = packing.unpack(found["y"]), packing.unpack(found["dx"])
    sums = {
        n: np.zeros_like(value) for n, value in found.items() if n in {f"d{w}" for w in case.weights._fields}
    }
    for place, b in enumerate(packing.order):
        n, one = lengths[b], slice(b, b + 1)
        alone = case._replace(
            x=case.x[:n, one], state=tuple(s[one] for s in case.state),
            dy=case.dy[:n, one], dstate=tuple(d[one] for d in case.dstate),
        )  # fmt: skip
        cut = {
            key: value
            if not isinstance(value, np.ndarray)
            else value[one]
            if key == "h_mask"
            else value[:n, one]
            for key, value in options.items()
        }
        expected = train_step(cell, alone, reverse=reverse, **cut)
        assert np.array_equal(y[:n, b], expected["y"][:, 0])
        assert np.array_equal(dx[:n, b], expected["dx"][:, 0])
        for s in STATE[cell]:
            assert np.array_equal(found[f"{s[0]}T"][place], expected[f"{s[0]}T"][0])
            assert np.array_equal(found[f"d{s}"][place], expected[f"d{s}"][0])
        sums = {key: value + expected[key] for key, value in sums.items()}
    assert sums.keys() >= {"dWx", "dWh", "dbx", "dbh"}
    assert_close({key: found[key] for key in sums}, sums, 1e-14)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_equal_lengths_are_a_dense_batch(cell: str, reverse: bool) -> None:
    case = make(cell, 5, 3, 4, 6)
    packed, options = pack(case, {}, [5, 5, 5])
    found = train_step(cell, packed, reverse=reverse, **options)
    dense = train_step(cell, case, reverse=reverse)
    for name in ("y", "dx"):
        found[name] = found[name].reshape(dense[name].shape)
    assert_close(found, dense, 1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_integers_are_one_hot_vectors(cell: str) -> None:
    case = make(cell, 5, 3, 4, 6, one_hot=True)
    packed, options = pack(case, {}, [2, 5, 0])
    vectors = train_step(cell, packed._replace(x=np.eye(4)[packed.x]), **options)
    del vectors["dx"]
    assert_close(train_step(cell, packed, **options), vectors, 1e-14)


def test_no_state_is_zeros_of_the_sequences_that_there_are() -> None:
    case, options = pack(make("lstm", 4, 3, 2, 5), {}, [4, 1, 2])
    y, last, tape = kernels.forward("lstm", case.x, None, case.weights, backend="reference", **options)
    zeros = tuple(np.zeros((3, 5)) for _ in range(2))
    np.testing.assert_array_equal(y, train_step("lstm", case._replace(state=zeros), **options)["y"])
    assert [part.shape for part in last] == [(3, 5), (3, 5)]
    dstate = kernels.backward(tape, case.dy, None).dstate
    assert dstate is not None
    assert [part.shape for part in dstate] == [(3, 5), (3, 5)]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "projected"])
def test_torch_bears_witness(cell: str) -> None:
    torch = pytest.importorskip("torch")
    lengths, extras = [2, 5, 1, 5, 3], ("Wy",) if cell == "projected" else ()
    cell = "lstm" if extras else cell
    case = make(cell, 5, 5, 3, 6, extras=extras)
    packing = Packing.of(lengths)
    packed, options = pack(case, {}, lengths)
    found = train_step(cell, packed, **options)
    layer, names = torch_copy(cell, case)
    x = torch.tensor(case.x, requires_grad=True)
    state = [torch.tensor(s[None], requires_grad=True) for s in case.state]
    rows = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    y, last = layer(rows, tuple(state) if cell == "lstm" else state[0])
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
    ends = list(last) if cell == "lstm" else [last]
    energy = (y * torch.tensor(packing.unpack(packed.dy))).sum()
    (energy + sum((e[0] * torch.tensor(d)).sum() for e, d in zip(ends, case.dstate, strict=True))).backward()
    expected = {"y": y.detach().numpy(), "dx": x.grad.numpy()}
    for name, end, start in zip(STATE[cell], ends, state, strict=True):
        expected |= {f"{name[0]}T": end[0].detach().numpy(), f"d{name}": start.grad[0].numpy()}
    expected |= {f"d{w}": getattr(layer, n).grad.numpy() for w, n in names.items()}
    found |= {name: packing.unpack(found[name]) for name in ("y", "dx")}
    for name in STATE[cell]:
        found |= {n: found[n][packing.inverse] for n in (f"{name[0]}T", f"d{name}")}
    assert_close(found, expected, TORCH_TOLERANCE)


SIZES = np.array([3, 2, 1])
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"batch_sizes": [3, 2, 1]}, "batch_sizes is a list; expected a NumPy array"),
    ({"batch_sizes": SIZES.astype(np.int32)}, "batch_sizes is int32; expected int64"),
    ({"batch_sizes": SIZES[None]}, "batch_sizes has shape (1, 3); expected (T,)"),
    ({"batch_sizes": np.array([3, 3, 0])}, "batch_sizes has a step of 0 sequences; expected at least 1"),
    ({"batch_sizes": np.array([3, 1, 2])},
     "batch_sizes rises from 1 to 2 at step 2; expected sizes that do not rise"),
    ({"batch_sizes": SIZES[:2]}, "x has shape (6, 4); expected (R, I) = (5, 4)"),
    ({"x": np.zeros((3, 2, 4))}, "x has shape (3, 2, 4); expected (R, I)"),
    ({"x": np.zeros((6, 2), int)}, "x has shape (6, 2); expected (R,)"),
    ({"x": np.full(6, 4)}, "x has values from 4 to 4; expected 0 to I - 1 = 3"),
    ({"state": (np.zeros((2, 5)),)}, "h0 has shape (2, 5); expected (B, H) = (3, 5)"),
    ({"keep_h": np.zeros((3, 2, 5))}, "keep_h has shape (3, 2, 5); expected (R, H) = (6, 5)"),
    ({"h_mask": np.zeros((6, 5))}, "h_mask has shape (6, 5); expected (B, H) = (3, 5)"),
    ({"reset": np.zeros((3, 2), bool)}, "reset has shape (3, 2); expected (R,) = (6,)"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[m for _, m in REFUSED])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_bad_packed_input_is_refused_in_one_line(changes: dict[str, Any], message: str, backend: str) -> None:
    call = {"x": np.zeros((6, 4)), "state": None, "batch_sizes": SIZES} | changes
    x, state = call.pop("x"), call.pop("state")
    with pytest.raises(UsageError) as error:
        kernels.forward("gru", x, state, make("gru", 3, 3, 4, 5).weights, backend=backend, **call)
    assert str(error.value) == message


def test_bad_packed_cotangents_are_refused_in_one_line() -> None:
    case, options = pack(make("gru", 3, 4, 2, 5), {}, [3, 2, 1, 0])
    tape = kernels.forward("gru", case.x, case.state, case.weights, **options)[2]
    assert tape is not None
    for dy, dstate, message in [
        (np.zeros((3, 3, 5)), None, r"dy has shape \(3, 3, 5\); expected \(R, H\) = \(6, 5\)"),
        (None, (np.zeros((3, 5)),), r"dh has shape \(3, 5\); expected \(B, H\) = \(4, 5\)"),
    ]:
        with pytest.raises(UsageError, match=rf"^{message}$"):
            kernels.backward(tape, dy, dstate)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1.5], "lengths is float64 of shape (1,); expected integers (B,)"),
        ([[1]], "lengths is int64 of shape (1, 1); expected integers (B,)"),
        ([2, -1], "lengths has values from -1; expected lengths from 0"),
    ],
)
def test_bad_lengths_are_refused_in_one_line(lengths: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        Packing.of(lengths)
    assert str(error.value) == message


def test_rows_that_do_not_fit_a_packing_are_refused() -> None:
    packing = Packing.of([2, 3])
    for call, message in [
        (lambda: packing.pack(np.zeros((2, 2))), r"x has shape \(2, 2\); expected .* T from 3 and B = 2"),
        (lambda: packing.pack(np.zeros((3, 1))), r"x has shape \(3, 1\)"),
        (lambda: packing.unpack(np.zeros((4, 2))), r"y has shape \(4, 2\); expected \(R, ...\) with R = 5"),
        (
            lambda: packing.unpack(np.zeros((5, 2)), 2),
            "T is 2; expected at least the longest of the lengths, 3",
        ),
    ]:
        with pytest.raises(UsageError, match=message):
            call()
