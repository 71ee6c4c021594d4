"""torch.jit beyond ``script(model)``: classes that script themselves, subclasses, computed weights."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import backtime
from backtime import UsageError, nn

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # of torch.nn's own code
    pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning"),  # of which test_nn_recording has tests
]
KINDS = ("RNN", "GRU", "LSTM")
I, H, T, B = 3, 4, 5, 2


def script_method(forward: Callable[..., Any]) -> Any:
    """PyTorch's, without its warning, which comes before a mark could hold it back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script_method(forward)


class Scripted(torch.jit.ScriptModule):
    """Scripts itself as soon as it has been made."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    @script_method
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


class ScriptedDeep(torch.jit.ScriptModule):
    """Holds the same layer twice, further down."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList([torch.nn.ModuleList([layer, layer])])

    @script_method
    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            for layer in part:
                x = layer(x)[0]
        return x


class ScriptedPacked(torch.jit.ScriptModule):
    """Of a PackedSequence, with the state of an LSTM."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    @script_method
    def forward(self, x: PackedSequence) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        return self.layer(x)


class ScriptedSteps(torch.jit.ScriptModule):
    """Two cells in a loop, whose second state comes from the first."""

    def __init__(self, below: Any, above: Any) -> None:
        super().__init__()
        self.below, self.above = below, above

    @script_method
    def forward(self, x: Tensor) -> Tensor:
        h, c = torch.zeros(2, 4), torch.zeros(2, 4)
        g, d = torch.zeros(2, 4), torch.zeros(2, 4)
        for t in range(x.size(0)):
            h, c = self.below(x[t], (h, c))
            g, d = self.above(h, (g, d))
        return g


class Plain(torch.nn.Module):
    """The layer in a model that does not script itself."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def loaded(module: Any) -> Any:
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    return torch.jit.load(file)


@pytest.mark.parametrize("how", ["made here", "accelerated"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_module_that_scripts_itself_holds_a_layer(kind: str, how: str) -> None:
    layer = getattr(nn if how == "made here" else torch.nn, kind)(I, H, 2, bidirectional=True)
    backtime.accelerate(layer)
    weights, module = list(layer.parameters()), Scripted(layer)
    for length in (T, T + 2):  # what was written down follows its input
        x = torch.randn(length, B, I)
        torch.testing.assert_close(module(x), layer(x)[0])
    torch.testing.assert_close(loaded(module)(x), layer(x)[0])
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(module.parameters(), weights, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_is_there_twice_stays_one(kind: str) -> None:
    layer = getattr(nn, kind)(H, H)
    module, x = ScriptedDeep(layer), torch.randn(T, B, H)
    torch.testing.assert_close(module(x), layer(layer(x)[0])[0])
    assert len(list(module.parameters())) == len(list(layer.parameters()))


def test_packed_sequences_and_cells_in_a_module_that_scripts_itself() -> None:
    layer, x = nn.LSTM(I, H), pack_sequence([torch.randn(T, I), torch.randn(2, I)])
    (found, (h, c)), (wanted, state) = ScriptedPacked(layer)(x), layer(x)
    torch.testing.assert_close((found.data, h, c), (wanted.data, *state))
    below, above, x = nn.LSTMCell(I, 4), nn.LSTMCell(4, 4), torch.randn(T, 2, I)
    module = ScriptedSteps(below, above)
    state, last = None, None
    for one in x:
        state = below(one, state)
        last = above(state[0], last)
    torch.testing.assert_close(module(x), last[0])


def test_a_module_that_scripts_itself_is_refused_what_torch_has_not() -> None:
    with pytest.raises(UsageError, match=r"nn.LSTM has peephole=True; expected torch.jit.trace"):
        Scripted(nn.LSTM(I, H, peephole=True))


# A subclass, somebody's, that does more than the layer.


def doubling(kind: str) -> Any:
    base = getattr(nn, kind)

    class Doubling(base):  # type: ignore[misc, valid-type]
        def forward(self, input: Tensor, hx: Any = None) -> Any:
            return super().forward(2 * input, hx)

    return Doubling(I, H)


def example(kind: str) -> Tensor:
    return torch.randn(*(() if "Cell" in kind else (T,)), B, I)


@pytest.mark.parametrize("kind", [*KINDS, "RNNCell", "GRUCell", "LSTMCell"])
def test_a_forward_of_its_own_is_run_or_refused_never_left_out(kind: str) -> None:
    model, x = Plain(doubling(kind)).eval(), example(kind)
    y = model(x)
    torch.testing.assert_close(torch.jit.trace(model, (x,))(x), y)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), y)
    with pytest.raises(UsageError, match=r"Doubling has a forward of its own; expected torch.jit.trace"):
        torch.jit.script(model)
    with pytest.raises(
        UsageError, match=r"Doubling has a forward of its own, which torch.fx would run twice"
    ):
        torch.fx.symbolic_trace(model)
    assert torch.equal(model(x), y)


@pytest.mark.parametrize("kind", [*KINDS, "RNNCell", "GRUCell", "LSTMCell"])
def test_a_subclass_without_one_is_the_layer(kind: str) -> None:
    base = getattr(nn, kind)

    class Named(base):  # type: ignore[misc, valid-type]
        def about(self) -> str:
            return "mine"

    model, x = Plain(Named(I, H)), example(kind)
    y = model(x)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), y)
    torch.testing.assert_close(torch.jit.script(model)(x), y)


# Weights that are computed.


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_has_the_weights_of_now_not_of_the_last_call(kind: str) -> None:
    layer, x = getattr(nn, kind)(I, H), torch.randn(T, B, I)
    weight_norm(layer, "weight_hh_l0")
    before = layer(x)[0]
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.1)
    scripted = torch.jit.script(Plain(layer))
    torch.testing.assert_close(scripted(x), layer(x)[0])
    assert not torch.allclose(scripted(x), before, atol=1e-3)
