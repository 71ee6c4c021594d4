"""What records a model instead of running it: the record must follow its input, or say why it cannot be made.

Each record is made from one example and held against the eager model on other values, another batch and
another length.
"""

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import backtime
from backtime import UsageError, nn
from backtime.nn import recording

# torch.jit is deprecated, and is what many programs are deployed by
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # torch.nn's own looks at the shape
]

I, H = 3, 4
Record = Callable[..., Any]


class Model(torch.nn.Module):
    """A layer among others, its output and its state in the result."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.head = (
            layer,
            torch.nn.Linear(2 * H if getattr(layer, "bidirectional", False) else H, 2),
        )

    def forward(self, x: torch.Tensor) -> Any:
        y, state = self.layer(x)
        return self.head(y), state


class Stepper(torch.nn.Module):
    """A cell among others."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell, self.head = cell, torch.nn.Linear(H, 2)

    def forward(self, x: torch.Tensor) -> Any:
        state = self.cell(x)
        return self.head(state[0] if isinstance(state, tuple) else state), state


class StepperOfOne(Stepper):
    """For the cells whose state is one tensor: TorchScript wants one type."""

    def forward(self, x: torch.Tensor) -> Any:
        state = self.cell(x)
        return self.head(state), state


class StepperOfTwo(Stepper):
    """For the LSTM's."""

    def forward(self, x: torch.Tensor) -> Any:
        state = self.cell(x)
        return self.head(state[0]), state


def trace(model: Any, x: torch.Tensor) -> Record:
    return torch.jit.trace(model, (x,))


def trace_without_gradients(model: Any, x: torch.Tensor) -> Record:
    with torch.no_grad():
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


def made(kind: str, **arguments: Any) -> Any:
    return Model(getattr(nn, kind)(I, H, **arguments)).eval()


def accelerated(kind: str, **arguments: Any) -> Any:
    model = Model(getattr(torch.nn, kind)(I, H, **arguments)).eval()
    assert "backtime" in str(backtime.accelerate(model))
    return model


def flat(result: Any) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else [t for part in result for t in flat(part)]


def others(shape: tuple[int, ...]) -> list[torch.Tensor]:
    """Other values, another batch, another length."""
    *steps, B, width = shape
    longer = [torch.randn(steps[0] + 3, B, width), torch.randn(1, B, width)] if steps else []
    return [torch.randn(shape), torch.randn(*steps, B + 2, width), torch.randn(*steps, 1, width), *longer]


def follows(record: Record, model: Any, inputs: list[torch.Tensor]) -> None:
    """Asserts that the record computes of every input what the model does."""
    for x in inputs:
        with torch.no_grad():
            wanted, found = flat(model(x)), flat(record(x))
        assert len(wanted) == len(found)
        for a, b in zip(wanted, found, strict=True):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)  # float32, the sums in another order
        assert wanted[0].abs().max() > 0


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


class Padded(torch.nn.Module):
    """A padded batch, packed around the layer."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        y, state = self.layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(y)[0], state


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


# What is refused, in one line.


class Lengths(torch.nn.Module):
    """Hands lengths to the layer."""

    def __init__(self, layer: Any, **call: Any) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        return self.layer(x, lengths=lengths, **self.call)[0]


class Trace(torch.nn.Module):
    """Asks for every step."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x, trace=True)[2][0].h


def refused() -> dict[str, Callable[[], Any]]:
    x, lengths = torch.randn(5, 2, I), torch.tensor([3, 5])
    hooked = Model(nn.GRU(I, H))
    hooked.layer.register_forward_hook(lambda *_: None)
    return {
        "lengths= would be constants": lambda: torch.jit.trace(Lengths(nn.GRU(I, H)), (x, lengths)),
        "trace=True cannot be recorded": lambda: torch.jit.trace(Trace(nn.GRU(I, H)), (x,)),
        "takes no PackedSequence": lambda: torch.jit.trace(
            Padded(nn.GRU(I, H, reset_after=False)), (x, lengths)
        ),
        "backtime.nn.LSTM has peephole=True": lambda: torch.jit.script(Model(nn.LSTM(I, H, peephole=True))),
        "backtime.nn.Jordan has a cell of its own": lambda: torch.jit.script(Model(nn.Jordan(I, H, H))),
        "nonlinearity='sigmoid'": lambda: torch.jit.script(StepperOfOne(nn.RNNCell(I, H, True, "sigmoid"))),
        "cannot read backtime.nn.SoftmaxCrossEntropy": lambda: torch.jit.script(nn.SoftmaxCrossEntropy(H, 6)),
        "is the whole model": lambda: torch.fx.symbolic_trace(nn.GRU(I, H)),
        "has hooks": lambda: torch.fx.symbolic_trace(hooked),
    }


@pytest.mark.parametrize("message", refused())
def test_what_cannot_be_recorded_is_refused(message: str) -> None:
    with pytest.raises(UsageError) as info:
        refused()[message]()
    lines = str(info.value).splitlines()
    assert len(lines) == 1 and message in lines[0] and "expected" in lines[0]


def test_scripting_says_what_it_did_to_the_model() -> None:
    model = accelerated("GRU")
    layer, weights = model.layer, list(model.parameters())
    nn.backends.say_once.cache_clear()
    with pytest.warns(
        nn.FallbackWarning, match=r"put it in place.*backtime.accelerate\(model\) undoes that"
    ) as said:
        torch.jit.script(model)
    (own,) = [one for one in said if one.category is nn.FallbackWarning]
    assert own.filename == __file__
    assert type(model.layer) is torch.nn.GRU and type(layer) is nn.GRU
    assert all(a is b for a, b in zip(weights, model.parameters(), strict=True))
    assert backtime.accelerate(model).swapped and type(model.layer) is nn.GRU


def test_restore_makes_torchs_of_what_was_made_here() -> None:
    model = torch.nn.ModuleList([nn.LSTM(I, H), nn.GRU(I, H, reset_after=False), nn.RNNCell(I, H)])
    weights, x = list(model.parameters()), torch.randn(5, 2, I)
    wanted = model[0](x)[0]
    assert not backtime.restore(model).swapped
    report = backtime.restore(model, everything=True)
    assert set(report.swapped) == {"0", "2"} and report.left == {"1": "torch.nn has no reset_after=False"}
    assert type(model[0]) is torch.nn.LSTM and type(model[1]) is nn.GRU and type(model[2]) is torch.nn.RNNCell
    assert all(a is b for a, b in zip(weights, model.parameters(), strict=True))
    torch.testing.assert_close(model[0](x)[0], wanted)


class Outputs(torch.nn.Module):
    """The first result, in a way that the tracer sees an input even where the layer gives it none."""

    def forward(self, result: Any) -> torch.Tensor:
        return result[0] + 0.0


def test_a_constant_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_it_was(layer: Any, x: Any) -> Any:
        def run(x: Any, *rest: Any) -> Any:
            tracing = torch._C._get_tracing_state()
            torch._C._set_tracing_state(None)  # the engine runs, and the tracer sees nothing
            try:
                return layer._run(x, *rest[:-1], False)
            finally:
                torch._C._set_tracing_state(tracing)

        return run

    monkeypatch.setattr(recording, "of_layer", as_it_was)
    model = torch.nn.Sequential(made("LSTM"), Outputs())
    with pytest.raises(AssertionError, match="not close"):
        follows(trace_without_gradients(model, torch.randn(5, 2, I)), model, [torch.randn(5, 2, I)])
