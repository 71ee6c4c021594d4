"""Quantization by the type of a module: a layer becomes int8 as torch.nn's, or a line says why not."""

from typing import Any

import pytest
import torch
from torch.ao.nn.quantized import dynamic
from torch.ao.quantization import (
    QConfigMapping,
    default_dynamic_qconfig,
    get_default_qconfig,
    prepare,
    quantize_dynamic,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

import backtime
from backtime import nn

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.ao.quantization is, from 2.10 on
    pytest.mark.filterwarnings("ignore:.*reduce_range.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*TypedStorage.*:UserWarning"),
]

I, H = 8, 16


class Model(torch.nn.Module):
    """A recurrent layer and a head."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.head = layer, torch.nn.Linear(H, 4)

    def forward(self, x: torch.Tensor) -> Any:
        y = self.layer(x)
        return self.head(y if isinstance(y, torch.Tensor) else y[0])


def theirs_and_ours(kind: str, how: str, **arguments: Any) -> tuple[Any, Any]:
    """The same model with torch.nn's layer, and with ours."""
    theirs = Model(getattr(torch.nn, kind)(I, H, **arguments)).eval()
    ours = Model(getattr(torch.nn if how == "accelerated" else nn, kind)(I, H, **arguments)).eval()
    ours.load_state_dict(theirs.state_dict())
    if how == "accelerated":
        backtime.accelerate(ours)
    return theirs, ours


WHICH: list[tuple[str, Any]] = [
    ("all", None),
    ("a set of types", {torch.nn.LSTM, torch.nn.GRU, torch.nn.LSTMCell, torch.nn.GRUCell, torch.nn.RNNCell}),
    ("a name", {"layer"}),
    ("a table", {"layer": default_dynamic_qconfig}),
]


@pytest.mark.parametrize("how", ["made here", "accelerated"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize(("name", "which"), WHICH)
def test_a_layer_becomes_int8_as_torchs_does(how: str, kind: str, name: str, which: Any) -> None:
    theirs, ours = theirs_and_ours(kind, how)
    x = torch.randn(*([] if "Cell" in kind else [7]), 3, I)
    wanted = quantize_dynamic(theirs, which, dtype=torch.qint8)
    found = quantize_dynamic(ours, which, dtype=torch.qint8)
    assert type(found.layer) is type(wanted.layer) is getattr(dynamic, kind)
    assert torch.equal(found(x), wanted(x))  # the same int8 weights, and the same kernel
    assert not torch.equal(found(x), ours(x))
    assert type(ours.layer) is getattr(nn, kind), "the model itself was to stay as it is"


def test_what_was_not_asked_for_stays() -> None:
    _, ours = theirs_and_ours("LSTM", "made here")
    found = quantize_dynamic(ours, {torch.nn.Linear}, dtype=torch.qint8)
    assert type(found.layer) is nn.LSTM and type(found.head) is dynamic.Linear
    assert type(quantize_dynamic(ours, {torch.nn.GRU}, dtype=torch.qint8).layer) is nn.LSTM


def test_a_layer_with_options_stays_in_floats_and_it_is_said() -> None:
    model = Model(nn.LSTM(I, H, peephole=True)).eval()
    with pytest.warns(UserWarning, match="'layer' stays in floats.*it has peephole=True") as said:
        found = quantize_dynamic(model, dtype=torch.qint8)
    assert len([one for one in said if "stays in floats" in str(one.message)]) == 1
    assert type(found.layer) is nn.LSTM and type(found.head) is dynamic.Linear
    x = torch.randn(7, 3, I)
    torch.testing.assert_close(found.layer(x)[0], model.layer(x)[0])


def test_static_quantization_finds_the_layer() -> None:
    theirs, ours = theirs_and_ours("LSTM", "made here")
    for model in (theirs, ours):
        model.qconfig = get_default_qconfig("fbgemm")
    assert type(prepare(ours).layer) is type(prepare(theirs).layer) is torch.ao.nn.quantizable.LSTM
    assert type(ours.layer) is nn.LSTM


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch.ao's own
def test_quantization_by_fx_does_it_in_the_model_and_says_so() -> None:
    theirs, ours = theirs_and_ours("LSTM", "made here")
    mapping = QConfigMapping().set_object_type(torch.nn.LSTM, default_dynamic_qconfig)
    x = torch.randn(7, 3, I)
    nn.backends.say_once.cache_clear()
    with pytest.warns(nn.FallbackWarning, match=r"backtime.accelerate\(model\) undoes that") as said:
        prepared = prepare_fx(ours, mapping, (x,))
    assert len([one for one in said if one.category is nn.FallbackWarning]) == 1
    assert type(ours.layer) is torch.nn.LSTM
    found, wanted = convert_fx(prepared), convert_fx(prepare_fx(theirs, mapping, (x,)))
    assert type(found.layer) is type(wanted.layer) is dynamic.LSTM
    assert torch.equal(found(x), wanted(x))


def test_quantization_by_fx_leaves_options_and_says_so() -> None:
    model = Model(nn.LSTM(I, H, peephole=True)).eval()
    mapping = QConfigMapping().set_object_type(torch.nn.LSTM, default_dynamic_qconfig)
    with pytest.warns(UserWarning, match="'layer' stays in floats.*it has peephole=True"):
        prepared = prepare_fx(model, mapping, (torch.randn(7, 3, I),))
    assert type(prepared.layer) is nn.LSTM


def test_a_layer_that_stays_in_floats_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.recording.quantize, "_meet", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_layer_becomes_int8_as_torchs_does("made here", "LSTM", "all", None)
