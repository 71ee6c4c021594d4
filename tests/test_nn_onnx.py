"""``torch.onnx.export`` by both exporters: standard nodes, which agree on other batches and lengths."""

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import backtime
from backtime import UsageError, nn
from backtime.interchange import gates

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the exporters' own code
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # of torch.nn's own looks at the shape
    pytest.mark.filterwarnings(
        "ignore:Exporting a model to ONNX with a batch_size"
    ),  # which the tests change
]

I, H = 3, 4
Export = Callable[..., None]


def by_dynamo(model: Any, inputs: tuple[Any, ...], path: Path, axes: list[dict[int, str]]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # the exporter's own progress
        torch.onnx.export(model, inputs, path, dynamo=True, dynamic_shapes=tuple(axes), verbose=False)


def by_trace(model: Any, inputs: tuple[Any, ...], path: Path, axes: list[dict[int, str]]) -> None:
    names = [f"in{n}" for n in range(len(inputs))]
    dynamic = dict(zip(names, axes, strict=True))
    torch.onnx.export(model, inputs, path, dynamo=False, input_names=names, dynamic_axes=dynamic)


def by_trace_without_gradients(model: Any, inputs: tuple[Any, ...], path: Path, axes: Any) -> None:
    with torch.no_grad():
        by_trace(model, inputs, path, axes)


EXPORTERS = [
    pytest.param(by_dynamo, marks=pytest.mark.slow),  # a second and more each, whatever the model
    by_trace,
    by_trace_without_gradients,
]


def nodes(path: Path) -> list[str]:
    """The recurrent nodes of a file."""
    return [node.op_type for node in onnx.load(path).graph.node if node.op_type in ("RNN", "GRU", "LSTM")]


def flat(result: Any) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else [t for part in result for t in flat(part)]


def agree(path: Path, model: Any, *inputs: torch.Tensor) -> None:
    """ONNX Runtime computes what the model does."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    named = {one.name: x.numpy() for one, x in zip(session.get_inputs(), inputs, strict=True)}
    with torch.no_grad():
        wanted = flat(model(*inputs))
    found = session.run(None, named)
    assert len(found) == len(wanted)
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(b, a.numpy(), rtol=1e-4, atol=1e-5)  # float32, its own exp and tanh


class Model(torch.nn.Module):
    """A layer among others."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.below, self.layer = torch.nn.Linear(I, I), layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(self.below(x))


FORMS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("GRU", {}),
    ("LSTM", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "bias": False, "dropout": 0.5}),
    ("LSTM", {"batch_first": True, "learned_state": True}),
]
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {"nonlinearity": "sigmoid"}),
    ("GRU", {"reset_after": False, "bidirectional": True}),
    ("LSTM", {"peephole": True, "num_layers": 2}),
    ("LSTM", {"coupled": True, "bidirectional": True, "merge": "sum"}),
    ("LSTM", {"recurrent_dropout": 0.5, "forget_bias": 1.0}),
]


@pytest.mark.parametrize("export", EXPORTERS)
@pytest.mark.parametrize(("kind", "arguments"), [*FORMS, *OPTIONS])
def test_standard_nodes_at_other_sizes(export: Export, kind: str, arguments: Any, tmp_path: Path) -> None:
    model, path = Model(getattr(nn, kind)(I, H, **arguments)).eval(), tmp_path / "model.onnx"
    if arguments.get("learned_state"):
        for name in ("h0", "c0"):
            torch.nn.init.normal_(getattr(model.layer, name))
    axes = {0: "B", 1: "T"} if arguments.get("batch_first") else {0: "T", 1: "B"}
    export(model, (torch.randn(5, 2, I),), path, [axes])
    assert nodes(path) == [kind] * arguments.get("num_layers", 1)
    for shape in [(5, 2, I), (5, 4, I), (9, 2, I), (9, 1, I), (2, 3, I)]:
        agree(path, model, torch.randn(shape))


@pytest.mark.parametrize("export", EXPORTERS)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_an_accelerated_model(export: Export, kind: str, tmp_path: Path) -> None:
    model, path = Model(getattr(torch.nn, kind)(I, H)).eval(), tmp_path / "model.onnx"
    backtime.accelerate(model)
    model.requires_grad_(False)
    export(model, (torch.randn(5, 2, I),), path, [{0: "T", 1: "B"}])
    assert nodes(path) == [kind] and len(onnx.load(path).graph.input) == 1
    agree(path, model, torch.randn(7, 3, I))


class WithState(torch.nn.Module):
    """The state is an input."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Any:
        return self.layer(x, (h, c))


@pytest.mark.parametrize("export", EXPORTERS)
@pytest.mark.parametrize("arguments", [{}, {"peephole": True}])
def test_a_state_is_an_input(export: Export, arguments: Any, tmp_path: Path) -> None:
    model, path = WithState(nn.LSTM(I, H, **arguments)).eval(), tmp_path / "model.onnx"
    example = (torch.randn(5, 2, I), torch.randn(1, 2, H), torch.randn(1, 2, H))
    export(model, example, path, [{0: "T", 1: "B"}, {1: "B"}, {1: "B"}])
    agree(path, model, torch.randn(7, 3, I), torch.randn(1, 3, H), torch.randn(1, 3, H))


class Packing(torch.nn.Module):
    """A padded batch, packed around the layer."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        y, state = self.layer(pack_padded_sequence(x, lengths))
        return pad_packed_sequence(y)[0], state


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_the_older_exporter_takes_packed_sequences(kind: str, tmp_path: Path) -> None:
    model, path = Packing(getattr(nn, kind)(I, H)).eval(), tmp_path / "model.onnx"
    by_trace(model, (torch.randn(5, 2, I), torch.tensor([5, 3])), path, [{0: "T", 1: "B"}, {0: "B"}])
    assert nodes(path) == [kind]
    agree(path, model, torch.randn(7, 3, I), torch.tensor([7, 5, 1]))


class WithLengths(torch.nn.Module):
    """The lengths are an input."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        return self.layer(x, lengths=lengths)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_are_an_input(kind: str, bidirectional: bool, tmp_path: Path) -> None:
    layer = getattr(nn, kind)(I, H, num_layers=2, bidirectional=bidirectional)
    model, path = WithLengths(layer).eval(), tmp_path / "model.onnx"
    axes = [{0: "T", 1: "B"}, {0: "B"}]
    by_dynamo(model, (torch.randn(5, 2, I), torch.tensor([5, 3])), path, axes)
    agree(path, model, torch.randn(7, 4, I), torch.tensor([2, 7, 1, 5]))


@pytest.mark.parametrize("export", EXPORTERS)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_cells(export: Export, kind: str, tmp_path: Path) -> None:
    cell, path = getattr(nn, f"{kind}Cell")(I, H).eval(), tmp_path / "model.onnx"
    export(cell, (torch.randn(2, I),), path, [{0: "B"}])
    assert nodes(path) == []
    agree(path, cell, torch.randn(5, I))


@pytest.mark.parametrize("export", EXPORTERS)
def test_a_single_sequence_and_one_hot_vectors(export: Export, tmp_path: Path) -> None:
    layer, path = nn.GRU(I, H, reset_after=False).eval(), tmp_path / "model.onnx"
    export(layer, (torch.randn(5, I),), path, [{0: "T"}])
    agree(path, layer, torch.randn(8, I))
    export(layer, (torch.randint(I, (5, 2)),), path, [{0: "T", 1: "B"}])
    agree(path, layer, torch.randint(I, (7, 3)))


class Traced(torch.nn.Module):
    """Asks for every step."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x, trace=True)[0]


class WithReset(torch.nn.Module):
    """Cuts the sequences."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x, reset=x[..., 0] > 0)


def test_the_older_exporter_refuses_a_projection_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="proj_size; expected 0"):
        by_trace(
            Model(nn.LSTM(I, H, proj_size=2)).eval(), (torch.randn(5, 2, I),), tmp_path / "m", [{1: "B"}]
        )


REFUSED: dict[str, Callable[[], Any]] = {
    "layer_norm; expected it off": lambda: nn.GRU(I, H, layer_norm=True),
    "proj_size; expected 0": lambda: nn.LSTM(I, H, proj_size=2),
    "nonlinearity='identity'; expected one of tanh, relu, sigmoid": lambda: nn.RNN(
        I, H, nonlinearity="identity"
    ),
    "zoneout; expected none": lambda: nn.LSTM(I, H, zoneout=0.1),
    "its own cell; ONNX has RNN, GRU and LSTM": lambda: nn.Jordan(I, H, 2),
    "trace=True; expected False": lambda: Traced(nn.LSTM(I, H)),
    "reset; expected None": lambda: WithReset(nn.LSTM(I, H)),
}


@pytest.mark.slow
@pytest.mark.parametrize("message", REFUSED)
def test_what_onnx_has_not_is_refused_and_no_file_is_written(message: str, tmp_path: Path) -> None:
    model, path = Model(REFUSED[message]()).eval(), tmp_path / "model.onnx"
    with pytest.raises(Exception) as info:  # torch's own, with ours as its cause
        by_dynamo(model, (torch.randn(5, 2, I),), path, [{0: "T", 1: "B"}])
    cause: BaseException | None = info.value
    while cause is not None and not isinstance(cause, UsageError):
        cause = cause.__cause__ or cause.__context__
    assert cause is not None and message in str(cause) and "\n" not in str(cause)
    assert not path.exists()


@pytest.mark.slow
def test_a_wrong_order_of_gates_would_be_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(gates.ONNX, "lstm", "ifgo")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_standard_nodes_at_other_sizes(by_dynamo, "LSTM", {}, tmp_path)


def test_a_file_without_inputs_would_be_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nn.recording, "of_layer", lambda layer, x: lambda x, *_: _constants(layer, x))
    with pytest.raises(AssertionError, match="LSTM"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test_standard_nodes_at_other_sizes(by_trace_without_gradients, "LSTM", {}, tmp_path)


def _constants(layer: Any, x: torch.Tensor) -> Any:
    """What the engine's results were to the tracer."""
    y = torch.from_numpy(np.zeros((5, 2, H), np.float32))
    state = torch.from_numpy(np.zeros((1, 2, H), np.float32))
    return y, (state, state.clone()), None
