"""Options in company: two at a time, in both directions, ragged and projected, the engine beside torch's own
operations; and what does not go together, refused by name."""

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from backtime import UsageError, kernels, nn
from backtime.nn.backends import equations

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the engine beside torch's operations")
T, B, I, H = 6, 4, 3, 5
LENGTHS = [3, 6, 0, 4]
SHARED: list[dict[str, Any]] = [
    {"layer_norm": True},
    {"recurrent_dropout": 0.3},
    {"weight_dropout": 0.3},
    {"learned_state": True},
]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "RNN": [*SHARED, {"zoneout": 0.3}, {"leak": 0.4}, {"nonlinearity": "sigmoid"}],
    "GRU": [*SHARED, {"zoneout": 0.3}, {"reset_after": False}],
    "LSTM": [
        *SHARED,
        {"zoneout": (0.3, 0.2)},
        {"peephole": True},
        {"coupled": True},
        {"forget_bias": 1.0},
        {"proj_size": 2},
    ],
    "Jordan": [*SHARED, {"output_nonlinearity": "sigmoid"}],
}
IMPOSSIBLE = [
    {"leak", "zoneout"},
    {"layer_norm", "reset_after"},
    {"layer_norm", "coupled"},
    {"forget_bias", "coupled"},
]
PAIRS = [(kind, a | b) for kind, options in OPTIONS.items() for a, b in combinations(options, 2)]
POSSIBLE = [pair for pair in PAIRS if set(pair[1]) not in IMPOSSIBLE]


def layer_of(kind: str, **arguments: Any) -> Any:
    torch.manual_seed(0)
    sizes = (I, H, 2) if kind == "Jordan" else (I, H)
    layer = getattr(nn, kind)(*sizes, dtype=torch.float64, **arguments)
    for name, p in layer.named_parameters():  # so that gains, shifts and learned states are told apart
        if name.startswith("gain") or name in ("h0", "c0") or name.startswith("bias_c"):
            torch.nn.init.uniform_(p, 0.5, 1.5)
    return layer


def outcome(layer: Any, form: str) -> list[Tensor]:
    """y, the last state, and the gradients of x and of every parameter."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(T, B, I, dtype=torch.float64, generator=g).requires_grad_()
    torch.manual_seed(2)  # the masks
    if form == "packed":
        y, last = layer(pack_padded_sequence(x, torch.tensor([3, 6, 1, 4]), enforce_sorted=False))
    else:
        y, last = layer(x, lengths=LENGTHS if form == "lengths" else None)
    y = y.data if isinstance(y, PackedSequence) else y
    outputs = [y, *(last if isinstance(last, tuple) else (last,))]
    upstream = [torch.randn(o.shape, dtype=o.dtype, generator=g) for o in outputs]
    return [*outputs, *torch.autograd.grad(outputs, [x, *layer.parameters()], upstream)]


def check(kind: str, arguments: dict[str, Any], form: str, training: bool = True) -> None:
    found = []
    for backend in ("native", "composed"):
        layer = layer_of(kind, num_layers=2, backend=backend, **arguments).train(training)
        assert layer.explain().path == backend
        found.append(outcome(layer, form))
    for n, (a, b) in enumerate(zip(*found, strict=True)):
        # float64: rounding of some hundred terms, and LN divides by deviations well below 1
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10, msg=lambda m, n=n: f"result {n}: {m}")


def named(arguments: dict[str, Any]) -> str:
    return "+".join(arguments)


@pytest.mark.parametrize("form", ["dense", "lengths", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("kind", "arguments"), POSSIBLE, ids=lambda v: v if isinstance(v, str) else named(v))
def test_two_options(kind: str, arguments: dict[str, Any], bidirectional: bool, form: str) -> None:
    check(kind, {"bidirectional": bidirectional, **arguments}, form)


ALL: dict[str, dict[str, Any]] = {
    "RNN": {"layer_norm": True, "zoneout": 0.3},
    "GRU": {"layer_norm": True, "zoneout": 0.3},
    "LSTM": {"layer_norm": True, "peephole": True, "zoneout": (0.3, 0.2), "forget_bias": 1.0, "proj_size": 2},
    "Jordan": {"layer_norm": True, "output_nonlinearity": "tanh"},
}


@pytest.mark.parametrize("form", ["dense", "lengths", "packed"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("merge", ["concat", "sum"])
@pytest.mark.parametrize("kind", ALL)
def test_all_that_goes_together(kind: str, merge: str, training: bool, form: str) -> None:
    more = {"recurrent_dropout": 0.2, "weight_dropout": 0.2, "learned_state": True, "dropout": 0.2}
    check(kind, {"bidirectional": True, "merge": merge, **more, **ALL[kind]}, form, training)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [pair for pair in PAIRS if set(pair[1]) in IMPOSSIBLE],
    ids=lambda v: v if isinstance(v, str) else named(v),
)
def test_what_does_not_go_together_is_refused_by_name(kind: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        layer_of(kind, **arguments)
    assert all(name in str(caught.value) for name in arguments) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "argument"),
    [("RNN", "peephole"), ("GRU", "peephole"), ("GRU", "leak"), ("GRU", "coupled"), ("GRU", "forget_bias"),
     ("GRU", "proj_size"), ("RNN", "proj_size"), ("LSTM", "leak"), ("LSTM", "reset_after"),
     ("Jordan", "zoneout"), ("Jordan", "proj_size"), ("Jordan", "peephole")],
)  # fmt: skip
def test_an_option_of_another_cell_is_no_argument(kind: str, argument: str) -> None:
    with pytest.raises(TypeError, match=argument):
        layer_of(kind, **{argument: 1})


def test_a_wrong_gate_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = equations._normalised
    monkeypatch.setattr(equations, "_normalised", lambda c, w: right(c, w) * (1 + 1e-7))
    with pytest.raises(AssertionError, match="result 0"):
        check("LSTM", {"layer_norm": True, "peephole": True}, "lengths")
