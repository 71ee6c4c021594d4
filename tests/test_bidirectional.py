"""Both directions of a layer: each alone, side by side; torch as a witness; what they share."""

from typing import Any

import numpy as np
import pytest

from agreement import TORCH_TOLERANCE, assert_close
from backtime import UsageError, kernels
from backtime.reference import Packing, bidirectional
from backtime.reference.weights import Array
from cases import GATES, OPTION_CASES, STATE, Case, make, pack
from witness import torch_copy

CELLS = ["rnn", "gru", "lstm", "jordan"]
LENGTHS = [4, 0, 2, 5]


def both(
    name: str, packed: bool, one_hot: bool = False
) -> tuple[str, Case, Case, tuple[dict[str, Any], ...], Any]:
    """Two cases that share x, with their options, and the batch sizes."""
    option = OPTION_CASES[name]
    first, options_f = option.build(5, 4, 3, 6, one_hot=one_hot)
    second, options_r = option.build(5, 4, 3, 6, one_hot=one_hot, seed=7)
    second = second._replace(x=first.x)
    if not packed:
        return option.cell, first, second, (options_f, options_r), None
    first, options_f = pack(first, options_f, LENGTHS)
    second, options_r = pack(second, options_r, LENGTHS)
    options_r.pop("batch_sizes")
    return option.cell, first, second, (options_f, options_r), options_f.pop("batch_sizes")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize(
    "name", [n for n in OPTION_CASES if n.endswith((" norm", "everything", "plain", "all"))]
)
@pytest.mark.parametrize("by", ["kernels", "reference"])
def test_both_directions_are_each_alone(name: str, one_hot: bool, packed: bool, by: str) -> None:
    cell, f, r, options, batch_sizes = both(name, packed, one_hot)
    dy = np.concatenate([f.dy, r.dy], axis=-1)
    if by == "kernels":
        y, last, tapes = kernels.forward_both(
            cell, f.x, (f.state, r.state), (f.weights, r.weights), batch_sizes=batch_sizes,
            backend="reference", options=options,
        )  # fmt: skip
        assert tapes is not None
        dx, dstates, dweights = kernels.backward_both(tapes, dy, (f.dstate, r.dstate))
    else:
        y, last, saved = bidirectional.forward(
            cell, f.x, (f.state, r.state), (f.weights, r.weights), batch_sizes, options
        )
        dx, dstates, dweights = bidirectional.backward(saved, dy, (f.dstate, r.dstate))
    P, dxs = f.dy.shape[-1], []
    for direction, case in enumerate((f, r)):
        own, end, tape = kernels.forward(
            cell, case.x, case.state, case.weights, batch_sizes=batch_sizes, reverse=bool(direction),
            backend="reference", **options[direction],
        )  # fmt: skip
        assert tape is not None
        found = kernels.backward(tape, case.dy, case.dstate)
        dxs.append(found.dx)
        assert np.array_equal(y[..., direction * P : (direction + 1) * P], own)
        assert same(last[direction], end)
        assert same(dstates[direction], found.dstate)
        assert same(dweights[direction], found.dweights)
    assert dx is None if one_hot else np.array_equal(dx, dxs[0] + dxs[1])


def same(a: Any, b: Any) -> bool:
    return all(p is q is None or np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "projected"])
def test_torch_bears_witness(cell: str, packed: bool) -> None:
    torch = pytest.importorskip("torch")
    extras = ("Wy",) if cell == "projected" else ()
    cell = "lstm" if extras else cell
    f, r = (make(cell, 5, 4, 3, 6, seed=seed, extras=extras) for seed in (0, 7))
    lengths = [4, 1, 2, 5] if packed else [5] * 4
    packing = Packing.of(lengths)
    layer, names = torch_copy(cell, f, r)
    x = torch.tensor(f.x, requires_grad=True)
    state = [torch.tensor(np.stack(s), requires_grad=True) for s in zip(f.state, r.state, strict=True)]
    rows = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    y, last = layer(rows if packed else x, tuple(state) if cell == "lstm" else state[0])
    if packed:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
    ends = list(last) if cell == "lstm" else [last]
    dy = packing.unpack(packing.pack(np.concatenate([f.dy, r.dy], axis=-1)))
    energy = (y * torch.tensor(dy)).sum()
    for part, end in enumerate(ends):
        energy = energy + (end * torch.tensor(np.stack([f.dstate[part], r.dstate[part]]))).sum()
    energy.backward()
    expected = {"y": y.detach().numpy(), "dx": x.grad.numpy()}
    for part, name in enumerate(STATE[cell]):
        expected |= {f"{name[0]}T": ends[part].detach().numpy(), f"d{name}": state[part].grad.numpy()}
    expected |= {
        n + end: getattr(layer, n + end).grad.numpy() for end in ("", "_reverse") for n in names.values()
    }
    assert_close(ours(cell, f, r, packing if packed else None, dy, names), expected, TORCH_TOLERANCE)


def ours(cell: str, f: Case, r: Case, packing: Any, dy: Array, names: dict[str, str]) -> dict[str, Array]:
    order = slice(None) if packing is None else packing.order
    back = slice(None) if packing is None else packing.inverse
    rows = (lambda a: a) if packing is None else packing.pack
    padded = (lambda a: a) if packing is None else packing.unpack
    y, last, tapes = kernels.forward_both(
        cell, rows(f.x), tuple(tuple(s[order] for s in c.state) for c in (f, r)), (f.weights, r.weights),
        batch_sizes=None if packing is None else packing.batch_sizes, backend="reference",
    )  # fmt: skip
    assert tapes is not None
    dstates = tuple(tuple(d[order] for d in c.dstate) for c in (f, r))
    dx, dstart, dweights = kernels.backward_both(tapes, rows(dy), dstates)
    found = {"y": padded(y), "dx": padded(dx)}
    for part, name in enumerate(STATE[cell]):
        found[f"{name[0]}T"] = np.stack([last[d][part][back] for d in (0, 1)])
        found[f"d{name}"] = np.stack([dstart[d][part][back] for d in (0, 1)])
    for direction, end in enumerate(("", "_reverse")):
        found |= {n + end: getattr(dweights[direction], w) for w, n in names.items()}
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_no_states_are_zeros_and_what_is_not_wanted_is_none(cell: str) -> None:
    f, r = make(cell, 4, 2, 3, 5), make(cell, 4, 2, 3, 5, seed=1)
    weights = (f.weights, r.weights)
    zeros = tuple(tuple(map(np.zeros_like, f.state)) for _ in range(2))
    y, _, tapes = kernels.forward_both(cell, f.x, None, weights)
    assert np.array_equal(y, kernels.forward_both(cell, f.x, zeros, weights)[0])
    assert kernels.forward_both(cell, f.x, None, weights, save=False)[2] is None
    assert tapes is not None
    dx, dstates, dweights = kernels.backward_both(tapes, None, None, need_dx=False, need_dstate=False)
    assert dx is None
    assert dstates == (None, None)
    assert [w.Wx.shape for w in dweights] == [(GATES[cell] * 5, 3)] * 2
    assert not any(w.Wx.any() for w in dweights)


def test_what_is_no_pair_is_refused_in_one_line() -> None:
    case = make("rnn", 4, 2, 3, 5)
    one, two = case.weights, (case.weights, case.weights)
    tapes = kernels.forward_both("rnn", case.x, None, two)[2]
    assert tapes is not None
    for call, message in [
        (lambda: kernels.forward_both("rnn", case.x, None, one), r"weights is a Weights; expected a pair"),
        (lambda: kernels.forward_both("rnn", case.x, case.state, two), "states is a tuple; expected a pair"),
        (lambda: kernels.forward_both("rnn", case.x, None, two, options={}),
         "options is a dict; expected a pair"),
        (lambda: kernels.backward_both(tapes, None, case.dstate), "dstates is a tuple; expected a pair"),
        (lambda: kernels.backward_both(tapes, case.dy, None),
         r"dy has shape \(4, 2, 5\); expected \(T, B, 2P\) = \(4, 2, 10\)"),
        (lambda: kernels.forward_both("rnn", case.x, None, (one, make("rnn", 1, 1, 3, 4).weights)),
         r"y of the reverse direction has shape \(4, 2, 4\); expected \(4, 2, 5\) as forward"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=message):
            call()
