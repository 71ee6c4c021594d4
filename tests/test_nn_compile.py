"""``torch.compile``, ``torch.export`` and torch's own checks of the registered operation."""

from typing import Any

import pytest
import torch
from torch import Tensor

from backtime import nn
from backtime.nn.backends import compiled
from backtime.nn.types import Call, Weights
from cases import OPTION_CASES, pack, train_step

pytestmark = [
    pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning"
    ),  # torch's compiler uses what torch has deprecated
    pytest.mark.slow,
]
KINDS = ["RNN", "GRU", "LSTM"]
T, B, I, H = 5, 3, 4, 6


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


def layer_of(kind: str, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return getattr(nn, kind)(I, H, dtype=torch.float64, **arguments)


def batch(seed: int = 1) -> Tensor:
    return torch.randn(T, B, I, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def outcome(call: Any, layer: Any, *arguments: Any) -> list[Tensor]:
    y, last = call(*arguments)
    parts = [y, *(last if isinstance(last, tuple) else (last,))]
    return [*parts, *torch.autograd.grad(sum(p.square().sum() for p in parts), list(layer.parameters()))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "arguments", [{"num_layers": 2}, {"bidirectional": True}, {"zoneout": 0.1}, {"layer_norm": True}]
)
def test_a_compiled_layer_is_one_graph_with_the_same_results(kind: str, arguments: Any) -> None:
    layer = layer_of(kind, **arguments)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    layer.eval()
    for found, expected in zip(
        outcome(compiled, layer, batch()), outcome(layer, layer, batch()), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(compiled(batch(2))[0], layer(batch(2))[0])


def test_a_compiled_model_with_a_state_trains_as_an_eager_one() -> None:
    losses = []
    for wrap in (lambda m: m, lambda m: torch.compile(m, fullgraph=True)):
        layer = layer_of("LSTM", num_layers=2)
        optimiser, call, state = (
            torch.optim.SGD(layer.parameters(), 0.1),
            wrap(layer),
            nn.state.initial(layer, B),
        )
        own = []
        for n in range(3):
            y, state = call(batch(n), nn.state.detach(state))
            loss = y.square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            own.append(loss.item())
        losses.append(own)
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize("kind", [*KINDS, "LSTMCell"])
def test_an_exported_program_is_the_layer(kind: str) -> None:
    layer, x = layer_of(kind), batch()[0] if kind == "LSTMCell" else batch()
    program = torch.export.export(layer, (x,))
    assert "backtime.layer" in program.graph_module.code
    for found, expected in zip(program.module()(x), layer(x), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", OPTION_CASES)
@pytest.mark.parametrize("lengths", [None, (4, 0, 2, 4)])
def test_the_operation_has_every_option(name: str, lengths: Any) -> None:
    from test_nn_options import through

    option = OPTION_CASES[name]
    case, options = option.build(4, 4, 2, 3)
    if lengths:
        case, options = pack(case, options, list(lengths))
    found = through(compiled.run, option.cell, case, options)
    for key, value in train_step(option.cell, case, **options).items():
        torch.testing.assert_close(torch.from_numpy(found[key]), torch.from_numpy(value), msg=key)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("one_hot", [False, True])
def test_opcheck_is_clean(kind: str, one_hot: bool) -> None:
    layer = layer_of(kind)
    x = torch.randint(0, I, (T, B)) if one_hot else batch().requires_grad_()
    state = tuple(s[0].requires_grad_() for s in nn.state.zeros(layer, B))
    call = Call(layer.cell, {"h_mask": torch.ones(B, H, dtype=torch.float64), "keep_h": 0.25}, None, True)
    form, tensors = compiled._written(call, x, state, layer._network().each(layer._weights())[0])
    assert set(torch.library.opcheck(compiled.layer, (form, tensors)).values()) == {"SUCCESS"}
    y, h, c = compiled.layer(form, tensors)
    given = [t.detach() for t in tensors]
    gradients = [torch.randn_like(part) for part in (y, h, c)]
    assert set(torch.library.opcheck(compiled.layer_backward, (form, given, *gradients)).values()) == {
        "SUCCESS"
    }


def test_the_form_is_read_as_it_was_written() -> None:
    options = {
        "activation": "relu",
        "coupled": True,
        "reset_after": False,
        "keep_h": 0.1,
        "reset": torch.ones(2, 3),
    }
    x, Wx, Wh, Wy, h = (torch.randn(n, n) for n in range(1, 6))
    call = Call("lstm", options, torch.tensor([3, 2]), True)
    weights = Weights(Wx, Wh, None, None, Wy)
    found = compiled._read(*compiled._written(call, x, (h,), weights))
    assert found[0].options.keys() == options.keys() and found[0].cell == "lstm" and found[0].reverse
    assert all(
        found[0].options[name] is value or found[0].options[name] == value for name, value in options.items()
    )
    assert found[0].batch_sizes is call.batch_sizes
    assert found[1] is x and found[2][0] is h and all(a is b for a, b in zip(found[3], weights, strict=True))


COMPILED = [("RNN", {}), ("GRU", {}), ("LSTM", {}), ("LSTM", {"proj_size": 2, "bidirectional": True})]


@pytest.mark.parametrize(("kind", "arguments"), COMPILED)
def test_no_graph_breaks(kind: str, arguments: Any) -> None:
    found = torch._dynamo.explain(layer_of(kind, num_layers=2, **arguments))(batch())
    assert (found.graph_count, found.graph_break_count) == (1, 0)


def test_two_layers_of_lstm_are_two_operations_to_the_compiler() -> None:
    # what a compilation costs is what the compiler must look at: the engine's operations are one node each
    graphs: list[Any] = []

    def keep(module: Any, _: Any) -> Any:
        graphs.append(module.graph)
        return module.forward

    torch.compile(layer_of("LSTM", num_layers=2), fullgraph=True, backend=keep)(batch())
    (graph,) = graphs
    names = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert names.count("backtime.layer.default") == 2 and len(names) < 20


def test_compile_time_does_not_grow_with_the_steps() -> None:
    # a compiler that unrolls the loop writes T times as much
    graphs: list[int] = []

    def count(module: Any, _: Any) -> Any:
        graphs.append(len(module.graph.nodes))
        return module.forward

    for steps in (2, 50):
        torch._dynamo.reset()
        x = torch.randn(steps, B, I, dtype=torch.float64)
        torch.compile(layer_of("LSTM", num_layers=2), fullgraph=True, backend=count)(x)
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_program_takes_other_batches(kind: str) -> None:
    layer = layer_of(kind, num_layers=2)
    free = {1: torch.export.Dim("batch", min=2, max=64)}
    program = torch.export.export(layer, (batch(),), dynamic_shapes=(free,))
    x = torch.randn(T, B + 4, I, dtype=torch.float64)
    torch.testing.assert_close(program.module()(x)[0], layer(x)[0])
