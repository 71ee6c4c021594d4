"""The layers' options: against the NumPy reference, and against what they must come to in plain cases."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from backtime import nn
from backtime.nn.backends import composed
from backtime.nn.backends.engine import run_direction
from backtime.nn.types import Call, Weights
from cases import OPTION_CASES, STATE, Case, pack, train_step

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
T, B, I, H = 5, 3, 4, 6
KINDS = ["RNN", "GRU", "LSTM", "Jordan"]


def tensor(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        found = torch.from_numpy(value.copy())
        return found.requires_grad_() if found.is_floating_point() else found
    return value


def through(run: Any, cell: str, case: Case, options: dict[str, Any]) -> dict[str, Any]:
    """``train_step`` by tensors: ``run`` is a path of the layers."""
    own = {name: value for name, value in options.items() if name not in ("batch_sizes", "reverse")}
    own = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in own.items()}
    sizes = options.get("batch_sizes")
    call = Call(cell, own, None if sizes is None else torch.from_numpy(sizes), options.get("reverse", False))
    x, state, weights = tensor(case.x), tuple(map(tensor, case.state)), Weights(*map(tensor, case.weights))
    y, last = run(call, x, state, weights)
    upstream = [torch.from_numpy(d) for d in (case.dy, *case.dstate)]
    names = ["dx"] if x.is_floating_point() else []
    names += [f"d{name}" for name in STATE[cell]]
    names += [f"d{name}" for name, w in zip(Weights._fields, weights, strict=True) if w is not None]
    sources = [s for s in (x, *state, *weights) if s is not None and s.requires_grad]
    found = torch.autograd.grad([y, *last], sources, upstream, allow_unused=True, materialize_grads=True)
    outputs = {"y": y, **{f"{name[0]}T": end for name, end in zip(STATE[cell], last, strict=True)}}
    return {n: v.detach().numpy() for n, v in {**outputs, **dict(zip(names, found, strict=True))}.items()}


@pytest.mark.parametrize("name", OPTION_CASES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, (4, 0, 2, 4)])
@pytest.mark.parametrize("one_hot", [False, True])
def test_every_option_is_that_of_the_reference(name: str, reverse: bool, lengths: Any, one_hot: bool) -> None:
    option = OPTION_CASES[name]
    case, options = option.build(4, 4, 2, 3, one_hot=one_hot)
    if lengths:
        case, options = pack(case, options, list(lengths))
    options["reverse"] = reverse
    expected = train_step(option.cell, case, **options)
    for run in (composed.run, run_direction):
        found = through(run, option.cell, case, options)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-11, atol=1e-11, err_msg=key)


def test_a_wrong_option_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backtime.nn.backends.equations._kept", lambda new, old, keep: new)
    with pytest.raises(AssertionError):
        test_every_option_is_that_of_the_reference("gru keep_h number", False, None, False)


def layer_of(kind: str, **arguments: Any) -> Any:
    torch.manual_seed(0)
    sizes = (I, H, 3) if kind == "Jordan" else (I, H)
    return getattr(nn, kind)(*sizes, dtype=torch.float64, **arguments)


def batch(seed: int = 1) -> Tensor:
    return torch.randn(T, B, I, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", ["recurrent_dropout", "weight_dropout"])
def test_all_dropped_is_no_recurrence_and_evaluation_drops_nothing(kind: str, option: str) -> None:
    layer, plain = layer_of(kind, **{option: 1.0}), layer_of(kind)
    x = batch()
    torch.testing.assert_close(layer.eval()(x)[0], plain(x)[0])
    plain.weight_hh_l0.data.zero_()
    torch.testing.assert_close(layer.train()(x)[0], plain(x)[0])


@pytest.mark.parametrize("option", ["recurrent_dropout", "weight_dropout", "zoneout"])
def test_a_seed_repeats_the_masks(option: str) -> None:
    layer, x = layer_of("LSTM", **{option: 0.5}), batch()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(layer(x)[0])
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])
    torch.manual_seed(1)
    layer.explain()
    assert torch.equal(layer(x)[0], outputs[0])  # asking what runs draws nothing


def test_variational_dropout_has_one_mask_for_all_steps() -> None:
    layer = layer_of("RNN", recurrent_dropout=0.5, nonlinearity="identity")
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.eye(H))
        layer.weight_ih_l0.zero_()
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
    y, _ = layer(batch(), torch.ones(1, B, H, dtype=torch.float64))
    expected = torch.where(y[0] > 0, 2.0, 0.0)  # kept and scaled by 1 / (1 - 0.5), or gone
    assert all(torch.equal(y[t], expected ** (t + 1)) for t in range(T))
    assert 0 < expected.mean() < 2


def is_kept(y: Tensor) -> Tensor:
    """Where the state is still the 0.3 of before: new + 1 (old - new) is old but for rounding."""
    return (y - 0.3).abs() < 1e-12


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_zoneout_keeps_all_or_nothing_in_training_and_the_share_in_evaluation(kind: str) -> None:
    x = batch()
    h0 = torch.full((1, B, H), 0.3, dtype=torch.float64)
    state = (h0, h0) if kind == "LSTM" else h0
    assert is_kept(layer_of(kind, zoneout=1.0)(x, state)[0]).all()
    layer = layer_of(kind, zoneout=0.5)
    y = layer(x[:1], state)[0]
    kept = is_kept(y).double().mean()
    assert 0.1 < kept < 0.9
    plain = layer_of(kind)(x[:1], state)[0]
    torch.testing.assert_close(torch.where(is_kept(y), plain, y), plain)
    torch.testing.assert_close(layer.eval()(x[:1], state)[0], 0.5 * plain + 0.5 * h0)


def test_zoneout_of_h_and_c_are_two() -> None:
    x = batch()
    h0, c0 = (torch.full((1, B, H), v, dtype=torch.float64) for v in (0.3, 0.7))
    y, (_, c) = layer_of("LSTM", zoneout=(0.0, 1.0))(x, (h0, c0))
    torch.testing.assert_close(c, c0)
    assert not is_kept(y).any()
    y, (_, c) = layer_of("LSTM", zoneout=(1.0, 0.0))(x, (h0, c0))
    assert is_kept(y).all() and ((c - 0.7).abs() > 1e-6).all()


def test_a_leak_is_a_running_mean() -> None:
    x = batch()
    layer, plain = layer_of("RNN", leak=0.25), layer_of("RNN")
    h = torch.zeros(1, B, H, dtype=torch.float64)
    for t, y in enumerate(layer(x)[0]):
        h = 0.75 * h + 0.25 * plain(x[t : t + 1], h)[0]
        torch.testing.assert_close(y, h[0])
    torch.testing.assert_close(layer_of("RNN", leak=1.0)(x)[0], plain(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_learned_state_is_a_parameter(kind: str) -> None:
    layer, plain = (
        layer_of(kind, learned_state=True, num_layers=2, bidirectional=True),
        layer_of(kind, num_layers=2, bidirectional=True),
    )
    assert not layer.h0.any()
    x = batch()
    torch.testing.assert_close(layer(x)[0], plain(x)[0])
    torch.nn.init.normal_(layer.h0)
    given = layer.h0[:, None].expand(-1, B, -1)
    if kind == "LSTM":
        torch.nn.init.normal_(layer.c0)
        given = (given, layer.c0[:, None].expand(-1, B, -1))
    y = layer(x)[0]
    torch.testing.assert_close(y, plain(x, given)[0])
    torch.testing.assert_close(layer(x[:, 0])[0], y[:, 0])
    y.sum().backward()
    assert layer.h0.grad.abs().min() > 0


def test_the_forget_gate_starts_at_its_bias() -> None:
    layer, plain = (
        layer_of("LSTM", forget_bias=1.5, bidirectional=True, num_layers=2),
        layer_of("LSTM", bidirectional=True, num_layers=2),
    )
    for name, value in layer.named_parameters():
        expected = getattr(plain, name).detach().clone()
        if name.startswith("bias"):
            expected[H : 2 * H] = 1.5 if name.startswith("bias_ih") else 0
        assert torch.equal(value, expected), name


def test_coupled_gates_share_one() -> None:
    layer, x = layer_of("LSTM", coupled=True), batch()
    _, _, (step,) = layer(x, trace=True)
    torch.testing.assert_close(step.gates["f"], 1 - step.gates["i"])
    torch.testing.assert_close(step.h, layer(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_directions_can_be_added(kind: str) -> None:
    layer, beside = (layer_of(kind, bidirectional=True, merge=merge) for merge in ("sum", "concat"))
    first, second = beside(batch())[0].chunk(2, -1)
    torch.testing.assert_close(layer(batch())[0], first + second)
    stacked = layer_of(kind, num_layers=2, bidirectional=True, merge="sum")
    assert stacked.weight_ih_l1.shape[1] == first.shape[-1] == stacked(batch())[0].shape[-1]


EVERYTHING: dict[str, dict[str, Any]] = {
    "RNN": {"layer_norm": True, "leak": 0.5, "nonlinearity": "relu"},
    "GRU": {"layer_norm": True, "zoneout": 0.2},
    "LSTM": {"layer_norm": True, "peephole": True, "zoneout": (0.2, 0.1), "proj_size": 3},
    "Jordan": {"layer_norm": True, "output_nonlinearity": "tanh"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_options_go_together(kind: str, merge: str) -> None:
    layer = layer_of(
        kind, num_layers=2, bidirectional=True, merge=merge, dropout=0.2, recurrent_dropout=0.2,
        weight_dropout=0.2, learned_state=True, **EVERYTHING[kind],
    )  # fmt: skip
    x, lengths = batch(), [2, 5, 3]
    y, _ = layer(x, lengths=lengths)
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    layer.eval()
    y, last = layer(x, lengths=lengths)
    for n, length in enumerate(lengths):
        alone, end = layer(x[:length, n])
        torch.testing.assert_close(y[:length, n], alone)
        for part, own in zip(last, end, strict=True) if kind == "LSTM" else [(last, end)]:
            torch.testing.assert_close(part[:, n], own)
    copy = layer_of(
        kind, num_layers=2, bidirectional=True, merge=merge, learned_state=True, **EVERYTHING[kind]
    ).eval()
    copy.load_state_dict(layer.state_dict())
    assert torch.equal(copy(x, lengths=lengths)[0], y)
