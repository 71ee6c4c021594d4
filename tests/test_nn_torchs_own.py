"""PyTorch's own inputs for its modules, which are installed with it, on ours in the place of torch.nn's.

``torch.testing._internal.common_modules`` has for every module of torch.nn the arguments, inputs and wrong
calls that PyTorch tests it with (``test/test_modules.py``, which is not installed). Its checks are done here
on our classes: results, factory arguments, gradients, second derivatives, memory that is not contiguous,
pickles, modes, types, errors. What needs a GPU or another device than the CPU is left out.
"""

import copy
import io
import pickle
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from backtime import UsageError, nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what PyTorch's tests load
    from torch.testing._internal import common_utils
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:dropout option adds dropout:UserWarning"),  # torch.nn's, of one layer
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),  # torch.nn's own
]

OURS = {f"nn.{name}": getattr(nn, name) for name in ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")}
INFOS = {info.name: info for info in module_db if info.name in OURS}


def test_pytorch_tests_all_six() -> None:
    assert set(INFOS) == set(OURS)


def samples(name: str, dtype: torch.dtype, training: bool = True, gradients: bool = False) -> Iterator[Any]:
    """Ours and theirs with the same weights, and an input, of each of PyTorch's samples."""
    info = INFOS[name]
    with common_utils.freeze_rng_state():
        torch.manual_seed(1)
        found = info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=gradients, training=training
        )
    assert found
    for sample in found:
        made = sample.constructor_input
        theirs = info.module_cls(*made.args, **made.kwargs, device="cpu", dtype=dtype).train(training)
        ours = OURS[name](*made.args, **made.kwargs, device="cpu", dtype=dtype).train(training)
        ours.load_state_dict(theirs.state_dict())
        yield sample, ours, theirs


def call(module: Any, given: Any, change: Any = lambda tensor: tensor) -> Any:
    """The module on an input, each tensor of it changed before."""

    def each(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return change(value)
        return type(value)(map(each, value)) if isinstance(value, tuple | list) else value

    return module(*map(each, given.args), **{key: each(value) for key, value in given.kwargs.items()})


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for part in value for t in tensors(part)] if isinstance(value, tuple | list) else []


def same(found: Any, wanted: Any) -> None:
    """As close as PyTorch's tests ask by their default."""
    assert len(tensors(found)) == len(tensors(wanted)) > 0
    for a, b in zip(tensors(found), tensors(wanted), strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b)


each_module = pytest.mark.parametrize("name", OURS)
each_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@each_module
@each_type
@pytest.mark.parametrize("training", [True, False])
def test_results(name: str, dtype: torch.dtype, training: bool) -> None:
    for sample, ours, theirs in samples(name, dtype, training):
        same(call(ours, sample.forward_input), call(theirs, sample.forward_input))
        if sample.reference_fn is not None:
            given = sample.forward_input
            same(call(ours, given), sample.reference_fn(ours, *given.args, **given.kwargs))


@each_module
@each_type
def test_factory_arguments(name: str, dtype: torch.dtype) -> None:
    for sample, ours, _ in samples(name, dtype):
        assert all(p.dtype == dtype and p.device.type == "cpu" for p in ours.parameters())
        made = sample.constructor_input
        on_meta = OURS[name](*made.args, **made.kwargs, device="meta", dtype=dtype)
        assert all(p.is_meta and p.dtype == dtype for p in on_meta.parameters())
        assert {n: p.shape for n, p in on_meta.named_parameters()} == {
            n: p.shape for n, p in ours.named_parameters()
        }


def derivative(ours: Any, sample: Any) -> tuple[Any, list[torch.Tensor]]:
    """The module as a function of what requires gradients: its input and its parameters."""
    given = sample.forward_input
    inputs = [t for t in [*tensors(given.args), *tensors(list(given.kwargs.values()))] if t.requires_grad]
    names = [n for n, _ in ours.named_parameters()]

    def function(*values: torch.Tensor) -> Any:
        taken = dict(zip(map(id, inputs), values, strict=False))
        parameters = dict(zip(names, values[len(inputs) :], strict=True))

        class Called:
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return torch.func.functional_call(ours, parameters, args, kwargs)

        return tuple(tensors(call(Called(), given, lambda t: taken.get(id(t), t))))

    return function, [*inputs, *ours.parameters()]


@each_module
def test_gradients(name: str) -> None:
    for sample, ours, _ in samples(name, torch.float64, gradients=True):
        assert torch.autograd.gradcheck(*derivative(ours, sample), fast_mode=True)


@each_module
def test_second_derivatives(name: str) -> None:
    for sample, ours, _ in samples(name, torch.float64, gradients=True):
        assert torch.autograd.gradgradcheck(*derivative(ours, sample), fast_mode=True)


@each_module
@each_type
def test_memory_that_is_not_contiguous(name: str, dtype: torch.dtype) -> None:
    def scattered(tensor: torch.Tensor) -> torch.Tensor:
        return common_utils.noncontiguous_like(tensor) if tensor.ndim and tensor.numel() > 1 else tensor

    for sample, ours, _ in samples(name, dtype):
        same(call(ours, sample.forward_input, scattered), call(ours, sample.forward_input))
        for parameter in ours.parameters():
            parameter.data = scattered(parameter.data)
        same(call(ours, sample.forward_input, scattered), call(ours, sample.forward_input))


@each_module
def test_pickles_copies_and_files(name: str) -> None:
    for sample, ours, theirs in samples(name, torch.float32):
        wanted = call(ours, sample.forward_input)
        same(call(pickle.loads(pickle.dumps(ours)), sample.forward_input), wanted)
        same(call(copy.deepcopy(ours), sample.forward_input), wanted)
        file = io.BytesIO()
        torch.save(ours.state_dict(), file)
        file.seek(0)
        theirs.load_state_dict(torch.load(file))
        same(call(theirs, sample.forward_input), wanted)


@each_module
def test_what_is_printed(name: str) -> None:
    for _, ours, theirs in samples(name, torch.float32):
        assert repr(ours).startswith(name.removeprefix("nn.") + "(") and str(ours) == repr(ours)
        assert repr(ours).split(", ")[:2] == repr(theirs).split(", ")[:2]


@each_module
def test_modes(name: str) -> None:
    training = list(samples(name, torch.float64, True))
    for sample, ours, _ in training:
        if getattr(ours, "dropout", 0):
            continue
        first = call(ours, sample.forward_input)
        same(call(ours.eval(), sample.forward_input), first)


@each_module
def test_another_type_and_back(name: str) -> None:
    for sample, ours, _ in samples(name, torch.float32):
        wanted = call(ours, sample.forward_input)
        found = call(
            ours.double(), sample.forward_input, lambda t: t.double() if t.is_floating_point() else t
        )
        for a, b in zip(tensors(found), tensors(wanted), strict=True):
            assert a.dtype == torch.float64
            torch.testing.assert_close(a.float(), b)
        same(call(ours.float(), sample.forward_input), wanted)


@each_module
def test_gradients_of_several_calls_add_up(name: str) -> None:
    for sample, ours, theirs in samples(name, torch.float64, gradients=True):
        for module in (ours, theirs):
            for _ in range(2):
                sum(t.square().sum() for t in tensors(call(module, sample.forward_input))).backward()
        same([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


@each_module
def test_wrong_calls(name: str) -> None:
    info = INFOS[name]
    if info.module_error_inputs_func is None:
        pytest.skip("PyTorch has no wrong calls of it")
    found = info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    )
    for wrong in found:
        sample = wrong.module_error_input
        made, given = sample.constructor_input, sample.forward_input
        kind = OURS[name]
        if wrong.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(wrong.error_type) as info_of:
                kind(*made.args, **made.kwargs)
        else:
            try:
                module = kind(*made.args, **made.kwargs)
            except UsageError as error:  # PyTorch's own slip: it gives the nonlinearity for bias
                assert f"bias is {made.args[2]!r}" in str(error) and made.args[2] in ("tanh", "relu")
                module = kind(*made.args[:2])
            with pytest.raises(wrong.error_type) as info_of:
                module(*given.args, **given.kwargs)
        assert isinstance(info_of.value, UsageError)
        assert re.search(wrong.error_regex, str(info_of.value)), (wrong.error_regex, str(info_of.value))


def test_a_wrong_result_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = nn.LSTM.forward

    def wrong(self: Any, *arguments: Any, **options: Any) -> Any:
        y, state = right(self, *arguments, **options)
        return y * 1.001, state

    monkeypatch.setattr(nn.LSTM, "forward", wrong)
    with pytest.raises(AssertionError, match="not close"):
        test_results("nn.LSTM", torch.float32, True)
