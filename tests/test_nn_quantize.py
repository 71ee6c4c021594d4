"""Quantization by the type of a module: a layer becomes int8 as torch.nn's, or a line says why not."""

import copy
from typing import Any

import pytest
import torch
from torch.ao.nn import quantizable, quantized
from torch.ao.nn.quantized import dynamic
from torch.ao.ns import _numeric_suite, _numeric_suite_fx
from torch.ao.quantization import (
    QConfigMapping,
    convert,
    default_dynamic_qconfig,
    default_qconfig,
    float16_dynamic_qconfig,
    get_default_dynamic_quant_module_mappings,
    get_default_qconfig,
    get_default_qconfig_mapping,
    prepare,
    quantize_dynamic,
)
from torch.ao.quantization.fx.custom_config import ConvertCustomConfig, PrepareCustomConfig
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.nn.utils.parametrizations import weight_norm

import backtime
from backtime import UsageError, nn
from test_nn_face import first

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


# By hand, and what compares the two.


def with_configuration(module: Any, configuration: Any = default_dynamic_qconfig) -> Any:
    module.qconfig = configuration
    return module


@pytest.mark.parametrize("dtype", ["int8", "float16"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell"])
def test_an_int8_layer_is_made_from_ours(kind: str, dtype: str) -> None:
    configuration = default_dynamic_qconfig if dtype == "int8" else float16_dynamic_qconfig
    theirs, ours = theirs_and_ours(kind, "made here")
    x = torch.randn(*([] if "Cell" in kind else [7]), 3, I)
    found, wanted = (
        getattr(dynamic, kind).from_float(with_configuration(model.layer, configuration))
        for model in (ours, theirs)
    )
    assert torch.equal(first(found(x)), first(wanted(x)))
    assert type(ours.layer) is getattr(nn, kind)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell"])
def test_convert_finds_a_layer_that_has_a_configuration(kind: str) -> None:
    theirs, ours = theirs_and_ours(kind, "made here")
    table = get_default_dynamic_quant_module_mappings()
    with_configuration(theirs.layer)
    with_configuration(ours.layer)
    found, wanted = convert(ours, table), convert(theirs, table)
    assert type(found.layer) is type(wanted.layer) is getattr(dynamic, kind)
    assert type(ours.layer) is getattr(nn, kind)


@pytest.mark.filterwarnings("ignore:All inputs of this cat operator:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_static_quantization_by_a_class_of_the_users(bidirectional: bool, split: bool) -> None:
    class Split(quantizable.LSTM):
        @classmethod
        def from_float(cls, other: Any, qconfig: Any = None) -> Any:
            return super().from_float(other, qconfig, split_gates=split)

    to, table = {torch.nn.LSTM: Split}, {Split: quantized.LSTM}
    theirs, ours = (
        with_configuration(
            torch.nn.Sequential(make(I, H, 2, bidirectional=bidirectional)).eval(), default_qconfig
        )
        for make in (torch.nn.LSTM, nn.LSTM)
    )
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(7, 3, I)
    prepared = [
        prepare(m, False, None, None, {"float_to_observed_custom_module_class": to}) for m in (ours, theirs)
    ]
    y, wanted = (m(x)[0] for m in prepared)
    assert type(prepared[0][0]) is Split and torch.equal(y, wanted)
    torch.testing.assert_close(y, ours(x)[0], rtol=1e-4, atol=1e-5)
    made = [
        convert(m, None, False, True, False, {"observed_to_quantized_custom_module_class": table})
        for m in prepared
    ]
    q = torch.quantize_per_tensor(x, 0.05, 64, torch.quint8)
    assert torch.equal(made[0](q)[0].int_repr(), made[1](q)[0].int_repr())


class Pair(torch.nn.Module):
    """An LSTM from a state that is given, as a step of a service."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, state: Any) -> Any:
        return self.layer(x, state)


def test_the_numeric_suite_compares_ours_with_its_int8() -> None:
    model = Pair(nn.LSTM(I, H)).eval()
    small = quantize_dynamic(model, {torch.nn.LSTM}, dtype=torch.qint8)
    weights = _numeric_suite.compare_weights(model.state_dict(), small.state_dict())
    assert len(weights) == 1
    state = (torch.randn(1, 3, H), torch.randn(1, 3, H))
    stubs = _numeric_suite.compare_model_stub(model, small, [torch.nn.LSTM], torch.randn(7, 3, I), state)
    ((name, results),) = stubs.items()
    assert name == "layer.stats" and len(results["float"]) == len(results["quantized"]) == 1


# By torch.fx: each kind, with a class of torch.ao's for the static one, and its numeric suite.


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch.ao's own, and FallbackWarning
@pytest.mark.parametrize("dtype", ["int8", "float16"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell"])
def test_every_kind_is_quantized_by_fx_as_torchs(kind: str, dtype: str) -> None:
    configuration = default_dynamic_qconfig if dtype == "int8" else float16_dynamic_qconfig
    mapping = QConfigMapping().set_object_type(getattr(torch.nn, kind), configuration)
    x = torch.randn(*([] if "Cell" in kind else [7]), 3, I)
    theirs, ours = (Alone(model.layer).eval() for model in theirs_and_ours(kind, "made here"))
    found, wanted = (convert_fx(prepare_fx(model, mapping, (x,))) for model in (ours, theirs))
    assert type(found.layer) is type(wanted.layer) is getattr(dynamic, kind)
    assert torch.equal(first(found(x)), first(wanted(x)))


class Alone(torch.nn.Module):
    """A layer, and its result as it is."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x)


class Stated(torch.nn.Module):
    """The state is given, as torch.fx wants it of a layer that becomes int8 as a whole."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.layer, self.head = model.layer, model.head

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Any:
        return self.head(self.layer(x, (h, c))[0])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")
def test_static_quantization_by_fx_is_that_of_torchs_layer() -> None:
    theirs, ours = (Stated(model).eval() for model in theirs_and_ours("LSTM", "made here"))
    observed = PrepareCustomConfig().set_float_to_observed_mapping(torch.nn.LSTM, quantizable.LSTM)
    made = ConvertCustomConfig().set_observed_to_quantized_mapping(quantizable.LSTM, quantized.LSTM)
    call, results = (torch.randn(7, 3, I), torch.randn(1, 3, H), torch.randn(1, 3, H)), []
    for model in (ours, theirs):
        watched = prepare_fx(model, get_default_qconfig_mapping("fbgemm"), call, observed)
        assert type(watched.layer) is quantizable.LSTM
        watched(*call)
        results.append(convert_fx(watched, convert_custom_config=made))
    assert type(results[0].layer) is quantized.LSTM
    assert torch.equal(results[0](*call), results[1](*call))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_numeric_suite_of_fx_compares_weights_and_results() -> None:
    mapping = QConfigMapping().set_object_type(torch.nn.LSTM, default_dynamic_qconfig)
    x = torch.randn(7, 3, I)
    watched = prepare_fx(Alone(nn.LSTM(I, H)).eval(), mapping, (x,))
    small = convert_fx(copy.deepcopy(watched))
    (weights,) = _numeric_suite_fx.extract_weights("floats", watched, "int8", small).values()
    assert weights["weight"]["floats"] and weights["weight"]["int8"]
    logger = _numeric_suite_fx.OutputLogger
    pair = _numeric_suite_fx.add_loggers("floats", watched, "int8", small, logger)
    for model in pair:
        model(x)
    (results,) = _numeric_suite_fx.extract_logger_info(*pair, logger, "int8").values()
    assert len(results["node_output"]["floats"][0]["values"]) == 1


LOST: dict[str, Any] = {
    "peephole": lambda: nn.LSTM(I, H, peephole=True),
    "coupled": lambda: nn.LSTM(I, H, coupled=True),
    "layer_norm": lambda: nn.LSTM(I, H, layer_norm=True),
    "learned_state": lambda: nn.LSTM(I, H, learned_state=True),
    "zoneout": lambda: nn.LSTM(I, H, zoneout=0.1),
}


@pytest.mark.parametrize("option", LOST)
@pytest.mark.parametrize("maker", [quantizable.LSTM, dynamic.LSTM])
def test_no_option_is_lost_on_the_way(maker: Any, option: str) -> None:
    with pytest.raises(
        UsageError, match=f"^LSTM.from_float knows torch.nn's.*backtime.nn.LSTM has .*{option}"
    ):
        maker.from_float(with_configuration(LOST[option](), default_qconfig))


def test_no_forward_of_a_subclass_is_lost_on_the_way() -> None:
    class Doubling(nn.GRU):
        def forward(self, input: Any, *rest: Any, **named: Any) -> Any:
            return super().forward(2 * input, *rest, **named)

    model = Model(Doubling(I, H)).eval()
    x = torch.randn(7, 3, I)
    with pytest.warns(UserWarning, match="'layer' stays in floats.*it has a forward of its own"):
        found = quantize_dynamic(model, dtype=torch.qint8)
    assert type(found.layer) is Doubling
    torch.testing.assert_close(found.layer(x)[0], model.layer(x)[0])
    with pytest.raises(UsageError, match="has a forward of its own; expected"):
        dynamic.GRU.from_float(with_configuration(Doubling(I, H)))


def test_a_parametrized_layer_stays_in_floats_and_it_is_said() -> None:
    model = Model(nn.LSTM(I, H)).eval()
    weight_norm(model.layer, "weight_hh_l0")
    x = torch.randn(7, 3, I)
    with pytest.warns(UserWarning, match="'layer' stays in floats.*it has parametrizations"):
        found = quantize_dynamic(model, dtype=torch.qint8)
    torch.testing.assert_close(found.layer(x)[0], model.layer(x)[0])


def test_a_layer_that_stays_in_floats_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.recording.quantize, "_meet", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_layer_becomes_int8_as_torchs_does("made here", "LSTM", "all", None)
