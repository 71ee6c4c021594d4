"""Where the engine does not reach: second derivatives, torch.func, other types; which path runs, and why."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vmap

from backtime import UsageError, kernels, nn
from backtime.nn import backends
from backtime.nn.backends import composed, cudnn, engine

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
KINDS = ["RNN", "GRU", "LSTM", "Jordan"]
T, B, I, H = 3, 2, 2, 3


def layer_of(kind: str, **arguments: Any) -> Any:
    torch.manual_seed(0)
    sizes = (I, H, 2) if kind == "Jordan" else (I, H)
    return getattr(nn, kind)(*sizes, **{"dtype": torch.float64, **arguments})


def batch(seed: int = 1) -> Tensor:
    return torch.randn(T, B, I, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def function_of(layer: Any, **call: Any) -> tuple[Any, tuple[Tensor, ...]]:
    """Outputs and last states as a function of x, the state and every weight; and where to look at it."""
    names, weights = zip(*layer.named_parameters(), strict=True)
    parts = nn.state.zeros(layer, B)
    g = torch.Generator().manual_seed(3)
    start = [torch.randn(p.shape, generator=g, dtype=p.dtype).requires_grad_() for p in parts]
    pair = isinstance(layer, nn.LSTM)

    def outputs(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        own = dict(zip(names, rest[len(start) :], strict=True))
        given = tuple(rest[: len(start)]) if pair else rest[0]
        y, last = functional_call(layer, own, (x, given), call)
        return y, *(last if pair else (last,))

    return outputs, (batch().requires_grad_(), *start, *weights)


SECOND = [
    *((kind, {}) for kind in KINDS),
    ("RNN", {"nonlinearity": "sigmoid", "layer_norm": True, "leak": 0.5}),
    ("GRU", {"reset_after": False}),
    ("LSTM", {"proj_size": 2, "peephole": True, "layer_norm": True, "bidirectional": True}),
]


@pytest.mark.parametrize(("kind", "arguments"), SECOND)
@pytest.mark.parametrize("call", [{}, {"lengths": [1, 3]}])
def test_second_derivatives(kind: str, arguments: Any, call: Any) -> None:
    outputs, where = function_of(layer_of(kind, **arguments), **call)
    assert torch.autograd.gradcheck(outputs, where, fast_mode=True)
    assert torch.autograd.gradgradcheck(outputs, where, fast_mode=True)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_second_derivatives_in_full(kind: str) -> None:
    outputs, where = function_of(layer_of(kind))
    assert torch.autograd.gradgradcheck(outputs, where, check_batched_grad=True)


def test_a_first_derivative_that_will_be_differentiated_has_the_same_numbers() -> None:
    layer, x = layer_of("LSTM"), batch().requires_grad_()
    loss = layer(x)[0].square().sum()
    (plain,) = torch.autograd.grad(loss, x, retain_graph=True)
    (again,) = torch.autograd.grad(loss, x, create_graph=True)
    torch.testing.assert_close(plain, again, rtol=1e-12, atol=1e-13)
    assert again.requires_grad and not plain.requires_grad


def test_a_wrong_second_derivative_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = composed.forward

    def wrong(call: Any, x: Tensor, *rest: Any) -> Any:
        found = right(call, x, *rest)
        # no value and no first derivative, only a second one
        return found._replace(y=found.y + (x - x.detach()).sum() ** 2)

    monkeypatch.setattr(composed, "forward", wrong)
    outputs, where = function_of(layer_of("GRU"))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradgradcheck(outputs, where, fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_per_sample_gradients(kind: str) -> None:
    layer = layer_of(kind, num_layers=2)
    weights = dict(layer.named_parameters())

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(layer, weights, (x,))[0].square().sum()

    found = vmap(grad(loss), (None, 1))(weights, batch())
    for b in range(B):
        layer.zero_grad()
        layer(batch()[:, b])[0].square().sum().backward()
        for name, p in layer.named_parameters():
            torch.testing.assert_close(found[name][b], p.grad, rtol=1e-9, atol=1e-11)


def test_an_ensemble_by_vmap() -> None:
    members = [nn.GRU(I, H, dtype=torch.float64) for _ in range(3)]
    weights, buffers = stack_module_state(members)  # type: ignore[arg-type]
    found = vmap(lambda w, b, x: functional_call(members[0], (w, b), (x,))[0], (0, 0, None))(
        weights, buffers, batch()
    )
    for own, member in zip(found, members, strict=True):
        torch.testing.assert_close(own, member(batch())[0])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own, in its jvp
def test_jacobians_forward_and_backward() -> None:
    layer, x = layer_of("LSTM"), batch()
    whole = jacrev(lambda v: layer(v)[0])(x)
    _, directional = jvp(lambda v: layer(v)[0], (x,), (torch.ones_like(x),))
    torch.testing.assert_close(directional, whole.sum((3, 4, 5)))
    with forward_ad.dual_level():
        y, _ = layer(forward_ad.make_dual(x, torch.ones_like(x)))
        torch.testing.assert_close(forward_ad.unpack_dual(y).tangent, directional)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_double(kind: str, dtype: torch.dtype) -> None:
    layer, x = layer_of(kind), batch()
    exact = layer(x)[0]
    y, _ = layer.to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    y.sum().backward()
    # products of some 5 terms below 1: a few roundings of 2^-8 (bfloat16) or 2^-11
    torch.testing.assert_close(y.double(), exact, rtol=0, atol=8 * torch.finfo(dtype).eps)


def test_shapes_alone_on_the_meta_device() -> None:
    layer = nn.LSTM(I, H, 2, bidirectional=True, device="meta", backend="composed")
    y, (h, c) = layer(torch.empty(T, B, I, device="meta"))
    assert (y.shape, h.shape, c.device.type) == ((T, B, 2 * H), (4, B, H), "meta")


# Which path, and why.


@pytest.fixture
def nothing_said() -> None:
    backends.say_once.cache_clear()


@pytest.mark.usefixtures("nothing_said")
def test_what_falls_back_says_so_once_for_each_reason() -> None:
    layer = layer_of("LSTM").bfloat16()
    with pytest.warns(nn.FallbackWarning, match="composed torch operations.*bfloat16"):
        layer(batch().bfloat16())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(batch().bfloat16())
        layer_of("LSTM")(batch())
        layer_of("LSTM", backend="composed")(batch())
        vmap(layer_of("LSTM"), 3, 2)(batch()[..., None])
    with pytest.warns(nn.FallbackWarning, match="float16"):
        layer.half()(batch().half())


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize("kind", ["LSTM", "GRUCell"])
def test_the_warning_names_the_callers_line(kind: str) -> None:
    model = torch.nn.Sequential(getattr(nn, kind)(I, H, dtype=torch.bfloat16))
    with pytest.warns(nn.FallbackWarning) as caught:
        model(batch()[0].bfloat16())
    assert caught[0].filename == __file__
    lines = Path(__file__).read_text().splitlines()
    assert lines[caught[0].lineno - 1].strip() == "model(batch()[0].bfloat16())"


def test_native_refuses_what_the_engine_has_not() -> None:
    with pytest.raises(UsageError, match="backend='native', but the weights are bfloat16"):
        layer_of("LSTM", backend="native").bfloat16()(batch().bfloat16())


@pytest.mark.skipif(not kernels.available(), reason="says what the engine does")
def test_explain_tells_the_path_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    found = layer_of("GRU").explain()
    assert (found.path, found.device, found.dtype) == ("native", "cpu", "float64")
    whose = {"pytorch": "PyTorch's threads", "own": "threads of its own"}[kernels.engine_info()["team"]]
    assert "native: the engine has a kernel" in str(found) and f", {whose})" in str(found)
    found = layer_of("GRU", backend="composed", zoneout=0.1).explain()
    assert (found.path, found.why) == ("composed", "backend='composed'")
    assert "zoneout=0.1" in str(found)
    assert layer_of("LSTM").half().explain().why == "the weights are float16"
    assert "meta" in nn.RNN(I, H, device="meta").explain().why
    found = layer_of("LSTM", backend="native").half().explain()
    assert (found.path, found.why) == ("refused", "backend='native', but the weights are float16")
    monkeypatch.setenv("BACKTIME_BACKEND", "reference")
    found = layer_of("GRU", zoneout=0.1).explain()
    assert (found.path, found.why) == ("composed", "BACKTIME_BACKEND='reference'")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "arguments",
    [{}, {"bidirectional": True}, {"recurrent_dropout": 0.1}, {"layer_norm": True}, {"weight_dropout": 0.1}],
)
def test_explain_is_true(kind: str, arguments: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for name, module, function in (
        ("composed", composed, "forward"),
        ("native", engine, "run"),
    ):
        right = getattr(module, function)
        monkeypatch.setattr(module, function, lambda *a, n=name, r=right: seen.append(n) or r(*a))
    layer = layer_of(kind, **arguments)
    layer(batch())
    expected = layer.explain().path
    assert expected in seen


@pytest.mark.parametrize("kind", KINDS)
def test_backends_agree(kind: str) -> None:
    results = []
    for backend in ("auto", "composed"):
        layer = layer_of(kind, backend=backend, num_layers=2, bidirectional=True)
        y, _ = layer(batch())
        y.square().sum().backward()
        results.append([y, *(p.grad for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("arguments", [{}, {"bidirectional": True, "bias": False}])
@pytest.mark.parametrize("lengths", [None, [1, 3]])
def test_torchs_fused_operation_gets_the_same_call(kind: str, arguments: Any, lengths: Any) -> None:
    # elsewhere than on the CPU this path runs by itself; here it is called
    layer = layer_of(kind, num_layers=2, **arguments)
    network = layer._network(lengths)
    assert cudnn.has(network)
    y, last = cudnn.run(network, batch(), None, layer._weights())
    expected, end = layer(batch(), lengths=lengths)
    torch.testing.assert_close(y, expected)
    for a, b in zip(last, end if kind == "LSTM" else (end,), strict=True):
        torch.testing.assert_close(a, b)


def test_torchs_fused_operation_is_not_asked_for_what_it_has_not() -> None:
    for layer in (
        layer_of("GRU", reset_after=False),
        layer_of("LSTM", coupled=True),
        layer_of("LSTM", layer_norm=True),
        layer_of("RNN", nonlinearity="sigmoid"),
        layer_of("RNN", bidirectional=True, merge="sum"),
        layer_of("Jordan"),
    ):
        assert not cudnn.has(layer._network())
