"""What cannot be recorded is refused; what was scripted is said, and restored; a constant would be seen."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import backtime
from backtime import UsageError, nn
from backtime.nn import recording
from recorders import H, I, Model, Padded, StepperOfOne, accelerated, follows, made, trace_without_gradients

# torch.jit is deprecated, and is what many programs are deployed by
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # torch.nn's own looks at the shape
]


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
