"""The PyTorch layers against torch.nn, which stands outside as witness."""

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from backtime import nn
from backtime.nn.backends import engine

# which path runs is not the subject here, and some of these cases are not the engine's
pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
KINDS = ["RNN", "GRU", "LSTM"]
T, B, I, H = 5, 3, 4, 6


def twins(kind: str, dtype: torch.dtype = torch.float64, **arguments: Any) -> tuple[Any, Any]:
    """Our layer and torch's, each born from the same seed."""
    sizes = {"input_size": I, "hidden_size": H, "dtype": dtype} | arguments
    torch.manual_seed(0)
    ours = getattr(nn, kind)(**sizes)
    torch.manual_seed(0)
    return ours, getattr(torch.nn, kind)(**sizes)


def random_input(layer: Any, shape: tuple[int, ...] = (T, B, I), seed: int = 1) -> tuple[Tensor, Any]:
    """x and a state that fits it, in the layer's type, requiring gradients."""
    g = torch.Generator().manual_seed(seed)
    batch = () if len(shape) == 2 else (shape[0] if layer.batch_first else shape[1],)
    L, P = layer.num_layers * (1 + layer.bidirectional), layer.proj_size or H
    sizes = [shape, (L, *batch, P), (L, *batch, H)]
    values = [torch.randn(size, generator=g) for size in sizes]  # float32, so that float64 can hold them too
    x, h, c = (v.to(layer.weight_ih_l0.dtype).requires_grad_() for v in values)
    return x, (h, c) if isinstance(layer, nn.LSTM | torch.nn.LSTM) else h


def everything(layer: Any, x: Tensor, state: Any) -> dict[str, Tensor]:
    """Outputs and the gradient of every input and parameter, for random cotangents."""
    y, last = layer(x, state)
    parts = {"y": y} | dict(zip(["h_n", "c_n"], last if isinstance(last, tuple) else [last], strict=False))
    g = torch.Generator().manual_seed(2)
    weights = [torch.randn(p.shape, generator=g).to(p.dtype) for p in parts.values()]
    sources = {"x": x} | dict(layer.named_parameters())
    if state is not None:
        sources |= dict(zip(["h0", "c0"], state if isinstance(state, tuple) else [state], strict=False))
    sources = {name: source for name, source in sources.items() if source.requires_grad}
    total = sum((p * w).sum() for p, w in zip(parts.values(), weights, strict=True))
    gradients = torch.autograd.grad(total, list(sources.values()))
    parts |= {f"d{name}": g for name, g in zip(sources, gradients, strict=True)}
    return {name: part.detach() for name, part in parts.items()}


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """float64: two right answers differ by rounding only, some 1e-16 times a few hundred terms."""
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, rtol=1e-11, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"num_layers": 3},
        {"bias": False},
        {"dtype": torch.float32},
        {"num_layers": 2, "bidirectional": True},
        {"num_layers": 2, "proj_size": 2},
        {"num_layers": 2, "proj_size": 2, "bidirectional": True, "bias": False},
    ],
)
def test_same_seed_same_initial_weights_bit_for_bit(kind: str, arguments: dict[str, Any]) -> None:
    if kind != "LSTM" and "proj_size" in arguments:
        return
    ours, theirs = (layer.state_dict() for layer in twins(kind, **arguments))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, (T, B, I)),
        ({"num_layers": 2}, (T, B, I)),
        ({"num_layers": 3, "batch_first": True}, (B, T, I)),
        ({"num_layers": 2, "batch_first": True}, (T, I)),
        ({}, (1, 1, I)),
        ({"bias": False, "num_layers": 2}, (T, B, I)),
        ({"bidirectional": True}, (T, B, I)),
        ({"bidirectional": True, "num_layers": 2, "batch_first": True}, (B, T, I)),
        ({"bidirectional": True, "num_layers": 2, "bias": False}, (T, I)),
        ({"bidirectional": True}, (1, 1, I)),
    ],
)
@pytest.mark.parametrize("with_state", [True, False])
def test_outputs_and_gradients_are_those_of_torch(
    kind: str, arguments: dict[str, Any], shape: tuple[int, ...], with_state: bool
) -> None:
    ours, theirs = twins(kind, **arguments)
    x, state = random_input(ours, shape)
    state = state if with_state else None
    assert_same(everything(ours, x, state), everything(theirs, x, state))


@pytest.mark.parametrize("arguments", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False}])
@pytest.mark.parametrize("shape", [(T, B, I), (T, I)])
@pytest.mark.parametrize("with_state", [True, False])
def test_projection_is_that_of_torch(
    arguments: dict[str, Any], shape: tuple[int, ...], with_state: bool
) -> None:
    ours, theirs = twins("LSTM", proj_size=2, **arguments)
    x, state = random_input(ours, shape)
    state = state if with_state else None
    assert_same(everything(ours, x, state), everything(theirs, x, state))


def float32_errors(kind: str, seed: int) -> list[dict[str, Tensor]]:
    """Our float32 results and torch's, less torch's in float64, as shares of the largest value."""
    ours, theirs = twins(kind, torch.float32, num_layers=2)
    results = [everything(layer, *random_input(layer, seed=seed)) for layer in (ours, theirs)]
    theirs.double()
    exact = everything(theirs, *random_input(theirs, seed=seed))
    return [
        {name: (result[name] - true) / true.abs().max() for name, true in exact.items()} for result in results
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_float32_errs_no_more_than_twice_as_much_as_torch(kind: str) -> None:
    # root mean square over ten inputs: the largest single error is luck, one ulp more or less
    found = [float32_errors(kind, seed) for seed in range(10)]
    for name in found[0][0]:
        ours, theirs = (
            torch.cat([pair[i][name].flatten() for pair in found]).square().mean().sqrt() for i in (0, 1)
        )
        assert ours <= 2 * theirs + 1e-8, name  # the floor is a sixth of an ulp


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relu_is_that_of_torch(dtype: torch.dtype) -> None:
    ours, theirs = twins("RNN", nonlinearity="relu", dtype=dtype)
    x, state = random_input(ours)
    for name, value in everything(theirs, x, state).items():
        torch.testing.assert_close(everything(ours, x, state)[name], value)


@pytest.mark.parametrize(
    ("kind", "options"),
    [*((("RNN"), {"nonlinearity": f}) for f in ("tanh", "sigmoid", "identity")), ("GRU", {}), ("LSTM", {}),
     ("GRU", {"reset_after": False})],
)  # fmt: skip
def test_gradcheck(kind: str, options: dict[str, Any]) -> None:
    layer = getattr(nn, kind)(2, 3, num_layers=2, dtype=torch.float64, **options)
    state = [
        torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(1 + (kind == "LSTM"))
    ]
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def outputs(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = tuple(rest[: len(state)]) if kind == "LSTM" else rest[0]
        weights = dict(zip(names, rest[len(state) :], strict=True))
        y, last = torch.func.functional_call(layer, weights, (x, given))
        return y, *(last if kind == "LSTM" else (last,))

    assert torch.autograd.gradcheck(outputs, (x, *state, *values), fast_mode=True)


@pytest.mark.parametrize("arguments", [{}, {"bias": False}, {"bidirectional": True}])
def test_a_wrong_sign_would_be_seen(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    right = engine.backward

    def wrong(*args: Any) -> list[Tensor | None]:
        dx, dh0, dc0, dWx, dWh, *rest = right(*args)
        return [dx, dh0, dc0, dWx, None if dWh is None else -dWh, *rest]

    monkeypatch.setattr(engine, "backward", wrong)
    ours, theirs = twins("LSTM", **arguments)
    with pytest.raises(AssertionError, match="dweight_hh_l0"):
        assert_same(everything(ours, *random_input(ours)), everything(theirs, *random_input(ours)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [{}, {"bidirectional": True}])
def test_dropout_takes_the_masks_that_torch_would_take(kind: str, arguments: dict[str, Any]) -> None:
    ours, theirs = twins(kind, num_layers=3, dropout=0.4, **arguments)
    x, state = random_input(ours)
    results = []
    for layer in (ours, theirs):
        torch.manual_seed(7)
        results.append(everything(layer, x, state))
    assert_same(*results)
    assert not torch.allclose(results[0]["y"], ours.eval()(x, state)[0])
    assert_same(
        everything(ours, x, state), everything(theirs.eval(), x, state)
    )  # gradients in eval mode, too


@pytest.mark.parametrize("kind", KINDS)
def test_state_dicts_go_both_ways(kind: str) -> None:
    ours, theirs = twins(kind, num_layers=2, bidirectional=True)
    torch.nn.init.normal_(theirs.weight_hh_l1)
    torch.nn.init.normal_(ours.bias_ih_l0)
    ours_before = copy.deepcopy(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.weight_hh_l1, theirs.weight_hh_l1)
    theirs.load_state_dict(ours_before)
    assert torch.equal(theirs.bias_ih_l0, ours_before["bias_ih_l0"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("integer", [torch.int64, torch.int32, torch.uint8])
def test_integers_are_one_hot_input(kind: str, integer: torch.dtype) -> None:
    layer, _ = twins(kind, num_layers=2)
    _, state = random_input(layer)
    tokens = torch.randint(0, I, (T, B), dtype=integer)
    one_hot = torch.nn.functional.one_hot(tokens.long(), I).double()
    assert_same(everything(layer, tokens, state), everything(layer, one_hot, state))
    single = layer(tokens[:, 0])[0]
    torch.testing.assert_close(single, layer(tokens[:, :1])[0].squeeze(1))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_order_does_not_matter(kind: str) -> None:
    layer, _ = twins(kind)
    x, state = random_input(layer)
    plain = everything(layer, x, state)
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.t().contiguous().t()
    other = x.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0).requires_grad_()
    assert not other.is_contiguous()
    assert_same(everything(layer, other, state), plain)


def test_memory_that_is_not_aligned_is_copied_for_the_engine() -> None:
    """As tensors of a file that was read in one piece may be: the same bits, on the engine, and no word."""
    layer = nn.LSTM(3, 4)

    def off_by_one(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        even, memory = torch.randn(shape), bytearray(4 * torch.Size(shape).numel() + 1)
        odd = torch.frombuffer(memory, dtype=torch.float32, offset=1).view(shape)
        odd.copy_(even)
        return even, odd

    (x, odd_x), (h, odd_h) = off_by_one((5, 2, 3)), off_by_one((1, 2, 4))
    assert odd_h.data_ptr() % 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, wanted = layer(odd_x, (odd_h, odd_h)), layer(x, (h, h))
    assert torch.equal(found[0], wanted[0])
