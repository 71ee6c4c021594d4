"""What records a model gets its graph: layers, cells, options, states, packed sequences, the head."""

import io
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from backtime import nn
from recorders import (
    H,
    I,
    Model,
    Padded,
    Record,
    Stepper,
    StepperOfOne,
    accelerated,
    flat,
    follows,
    made,
    trace_without_gradients,
)

# torch.jit is deprecated, and is what many programs are deployed by
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # torch.nn's own looks at the shape
]


class StepperOfTwo(Stepper):
    """For the LSTM's."""

    def forward(self, x: torch.Tensor) -> Any:
        state = self.cell(x)
        return self.head(state[0]), state


def trace(model: Any, x: torch.Tensor) -> Record:
    return torch.jit.trace(model, (x,))


def trace_of_frozen_weights(model: Any, x: torch.Tensor) -> Record:
    model.requires_grad_(False)
    return torch.jit.trace(model, (x,))


def traced_and_frozen(model: Any, x: torch.Tensor) -> Record:
    return torch.jit.freeze(trace_without_gradients(model, x))


def traced_saved_and_loaded(model: Any, x: torch.Tensor) -> Record:
    file = io.BytesIO()
    torch.jit.save(trace(model, x), file)
    file.seek(0)
    return torch.jit.load(file)


def script(model: Any, x: torch.Tensor) -> Record:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nn.FallbackWarning)
        return torch.jit.script(model)


def scripted_and_frozen(model: Any, x: torch.Tensor) -> Record:
    return torch.jit.freeze(script(model, x))


def symbolic_trace(model: Any, x: torch.Tensor) -> Record:
    return torch.fx.symbolic_trace(model)


def made_fx(model: Any, x: torch.Tensor) -> Record:
    """With sizes as symbols; the weights are constants of the graph, as those of every module are there."""
    return make_fx(model, tracing_mode="symbolic", _allow_non_fake_inputs=True)(x)


def export(model: Any, x: torch.Tensor, strict: bool = False) -> Record:
    names = ("T", "B") if x.ndim == 3 else ("B",)
    sizes = {axis: torch.export.Dim(name) for axis, name in enumerate(names)}
    return torch.export.export(model, (x,), dynamic_shapes=(sizes,), strict=strict).module()


def export_strictly(model: Any, x: torch.Tensor) -> Record:
    return export(model, x, strict=True)


def compile_whole(model: Any, x: torch.Tensor) -> Record:
    torch.compiler.reset()  # it counts the compilations of one forward, whosever they are
    return torch.compile(model, fullgraph=True, dynamic=True)


JIT = [
    trace, trace_without_gradients, trace_of_frozen_weights, traced_and_frozen, traced_saved_and_loaded,
    script, scripted_and_frozen,
]  # fmt: skip
GRAPHS = [
    symbolic_trace, made_fx, export, pytest.param(export_strictly, marks=pytest.mark.slow),
    pytest.param(compile_whole, marks=pytest.mark.slow),
]  # fmt: skip


def others(shape: tuple[int, ...]) -> list[torch.Tensor]:
    """Other values, another batch, another length."""
    *steps, B, width = shape
    longer = [torch.randn(steps[0] + 3, B, width), torch.randn(1, B, width)] if steps else []
    return [torch.randn(shape), torch.randn(*steps, B + 2, width), torch.randn(*steps, 1, width), *longer]


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deep": {"num_layers": 2, "bidirectional": True},
    "no bias": {"bias": False},
}


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("origin", [made, accelerated])
@pytest.mark.parametrize("record", JIT)
def test_torchscript_follows_its_input(record: Any, origin: Any, form: str, kind: str) -> None:
    model, x = origin(kind, **FORMS[form]), torch.randn(5, 2, I)
    eager = origin(kind, **FORMS[form])
    eager.load_state_dict(model.state_dict())
    follows(record(model, x), eager, others((5, 2, I)))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "Jordan"])
@pytest.mark.parametrize("form", ["plain", "deep"])
@pytest.mark.parametrize("record", GRAPHS)
def test_graphs_follow_their_input(record: Any, form: str, kind: str) -> None:
    arguments = FORMS[form] | ({"output_size": H} if kind == "Jordan" else {})
    model, x = made(kind, **arguments), torch.randn(5, 2, I)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, on the way to a graph
        follows(record(model, x), model, others((5, 2, I)))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_an_accelerated_model_is_recorded_by_torch_fx(kind: str) -> None:
    model = accelerated(kind)
    graph = symbolic_trace(model, torch.randn(5, 2, I))
    assert isinstance(graph.layer, getattr(nn, kind))  # type: ignore[attr-defined]
    follows(graph, model, others((5, 2, I)))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("record", [*JIT, *GRAPHS])
def test_cells_follow_their_input(record: Any, kind: str) -> None:
    outer = StepperOfTwo if kind == "LSTM" else StepperOfOne
    model = outer(getattr(nn, f"{kind}Cell")(I, H)).eval()
    eager = outer(getattr(nn, f"{kind}Cell")(I, H)).eval()
    eager.load_state_dict(model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        follows(record(model, torch.randn(2, I)), eager, others((2, I)))


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {"nonlinearity": "sigmoid"}),
    ("RNN", {"leak": 0.5}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"layer_norm": True}),
    ("LSTM", {"peephole": True, "bidirectional": True}),
    ("LSTM", {"coupled": True, "num_layers": 2}),
    ("LSTM", {"zoneout": (0.1, 0.2)}),
    ("LSTM", {"merge": "sum", "bidirectional": True}),
    ("Jordan", {"output_size": H}),
]


class Summing(Model):
    """The two directions are added, so the head is as wide as one of them."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.head = torch.nn.Linear(H, 2)


@pytest.mark.parametrize(("kind", "arguments"), OPTIONS)
@pytest.mark.parametrize(
    "record", [trace, trace_without_gradients, traced_and_frozen, symbolic_trace, made_fx, export]
)
def test_layers_with_options_follow_their_input(record: Any, kind: str, arguments: dict[str, Any]) -> None:
    outer = Summing if "merge" in arguments else Model
    model = outer(getattr(nn, kind)(I, H, **arguments)).eval()
    follows(record(model, torch.randn(5, 2, I)), model, others((5, 2, I)))


@pytest.mark.parametrize(
    "arguments",
    [{"batch_first": True}, {"learned_state": True}, {"learned_state": True, "batch_first": True}],
)
def test_a_trace_has_the_form_of_the_layer(arguments: dict[str, Any]) -> None:
    layer = nn.LSTM(I, H, **arguments).eval()
    for name, value in layer.named_parameters():
        if name in ("h0", "c0"):
            torch.nn.init.normal_(value)
    follows(trace(layer, torch.randn(5, 2, I)), layer, others((5, 2, I)))


def test_a_trace_takes_a_state_a_single_sequence_and_integers() -> None:
    layer = nn.GRU(I, H, learned_state=True)
    traced = torch.jit.trace(layer, (torch.randn(5, 2, I), torch.randn(1, 2, H)))
    x, h = torch.randn(7, 3, I), torch.randn(1, 3, H)
    torch.testing.assert_close(traced(x, h)[0], layer(x, h)[0])
    alone = torch.jit.trace(layer, (torch.randn(5, I),))
    x = torch.randn(6, I)
    torch.testing.assert_close(alone(x)[1], layer(x)[1])
    tokens = torch.jit.trace(layer, (torch.randint(I, (5, 2)),))
    x = torch.randint(I, (6, 4))
    torch.testing.assert_close(tokens(x)[0], layer(x)[0])


@pytest.mark.parametrize("learned", [False, True])
def test_a_trace_takes_packed_sequences(learned: bool) -> None:
    model = Padded(nn.LSTM(I, H, learned_state=learned))
    traced = torch.jit.trace(model, (torch.randn(5, 2, I), torch.tensor([3, 5])))
    x, lengths = torch.randn(6, 4, I), torch.tensor([2, 6, 1, 5])
    for wanted, found in zip(flat(model(x, lengths)), flat(traced(x, lengths)), strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_trace_is_differentiated_as_the_layer_is() -> None:
    for layer in (nn.LSTM(I, H), nn.LSTM(I, H, peephole=True)):
        traced = torch.jit.trace(layer, (torch.randn(5, 2, I),))
        x = torch.randn(7, 3, I)
        wanted = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))
        found = torch.autograd.grad(traced(x)[0].square().sum(), list(layer.parameters()))
        for a, b in zip(wanted, found, strict=True):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)


def test_noise_is_drawn_anew_in_a_trace() -> None:
    layer = nn.GRU(I, H, recurrent_dropout=0.5)
    traced = torch.jit.trace(layer, (torch.randn(5, 2, I),), check_trace=False)
    x = torch.randn(7, 3, I)
    assert not torch.equal(traced(x)[0], traced(x)[0])
    torch.manual_seed(3)
    wanted = layer(x)[0]
    torch.manual_seed(3)
    torch.testing.assert_close(traced(x)[0], wanted)


class Scored(torch.nn.Module):
    """The head as a part."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, h: torch.Tensor, targets: torch.Tensor) -> Any:
        return self.head(h, targets)


def test_the_head_follows_its_input() -> None:
    head = nn.SoftmaxCrossEntropy(H, 6)
    h, targets = torch.randn(5, 2, H), torch.randint(6, (5, 2))
    with torch.no_grad():
        traced = torch.jit.trace(head, (h, targets))
    h, targets = torch.randn(7, 3, H), torch.randint(6, (7, 3))
    torch.testing.assert_close(traced(h, targets), head(h, targets))
    torch.testing.assert_close(torch.fx.symbolic_trace(Scored(head))(h, targets), head(h, targets))
    made = make_fx(head, tracing_mode="symbolic", _allow_non_fake_inputs=True)(
        torch.randn(5, 2, H), torch.randint(6, (5, 2))
    )
    torch.testing.assert_close(made(h, targets), head(h, targets))


FRESH = """
import sys, torch
found = torch.jit.load(sys.argv[1])(torch.load(sys.argv[2]))
assert not any(name.startswith("backtime") for name in sys.modules)
torch.save([found[0], *found[1]], sys.argv[3])
"""


@pytest.mark.slow
@pytest.mark.parametrize("record", [trace, script])
def test_what_is_saved_opens_without_backtime(record: Any, tmp_path: Path) -> None:
    model, x = accelerated("LSTM"), torch.randn(7, 3, I)
    with torch.no_grad():
        wanted = flat(model(x))
    torch.jit.save(record(model, torch.randn(5, 2, I)), tmp_path / "model.pt")
    torch.save(x, tmp_path / "x.pt")
    names = [str(tmp_path / name) for name in ("model.pt", "x.pt", "found.pt")]
    subprocess.run([sys.executable, "-W", "ignore", "-c", FRESH, *names], check=True)
    for a, b in zip(wanted, torch.load(names[2]), strict=True):
        torch.testing.assert_close(b, a)
