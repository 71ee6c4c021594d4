"""The same face as torch.nn's: arguments, draws, copies, wrappers and errors, of layers and cells."""

import copy
import inspect
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrizations, prune

from backtime import UsageError, nn
from backtime.nn import entry, layer
from test_nn import assert_same

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")
LAYERS, CELLS = ["RNN", "GRU", "LSTM"], ["RNNCell", "GRUCell", "LSTMCell"]
T, B, I, H = 5, 3, 4, 6


def twins(kind: str, **arguments: Any) -> list[Any]:
    """Ours and torch's from one seed."""
    found = []
    for module in (nn, torch.nn):
        torch.manual_seed(0)
        found.append(getattr(module, kind)(I, H, dtype=torch.float64, **arguments))
    return found


def batch(kind: str, seed: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    shape = (B, I) if kind in CELLS else (T, B, I)
    return torch.randn(shape, dtype=torch.float64, generator=g)


def first(outcome: Any) -> Tensor:
    while isinstance(outcome, tuple):
        outcome = outcome[0]
    found: Tensor = outcome
    return found


# torch.nn's layers take *args; what they mean stands in RNNBase and in their documentation
BASE = ["num_layers", "bias", "batch_first", "dropout", "bidirectional"]
ORDER = {
    "RNN": ["num_layers", "nonlinearity", *BASE[1:], "device", "dtype"],
    "GRU": [*BASE, "device", "dtype"],
    "LSTM": [*BASE, "proj_size", "device", "dtype"],
}


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_arguments_have_torchs_names_order_and_defaults(kind: str) -> None:
    ours = inspect.signature(getattr(nn, kind)).parameters
    placed = [name for name, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert all(p.kind is p.KEYWORD_ONLY for name, p in ours.items() if name not in placed)
    if kind in CELLS:
        theirs = inspect.signature(getattr(torch.nn, kind)).parameters
        assert placed == list(theirs)
        usual = {name: p.default for name, p in theirs.items()}
    else:
        assert placed == ["input_size", "hidden_size", *ORDER[kind]]
        base = inspect.signature(torch.nn.RNNBase).parameters
        usual = {name: base[name].default for name in placed if name in base} | {"nonlinearity": "tanh"}
    assert {name: ours[name].default for name in placed} == {name: usual[name] for name in placed}


@pytest.mark.parametrize("kind", LAYERS)
def test_arguments_by_place_make_the_same_layer(kind: str) -> None:
    placed: dict[str, list[Any]] = {"RNN": ["relu"], "GRU": [], "LSTM": []}
    given = [I, H, 2, *placed[kind], False, True, 0.25, True, *([2] if kind == "LSTM" else [])]
    ours, theirs = (getattr(module, kind)(*given) for module in (nn, torch.nn))
    attributes = [*BASE, "input_size", "hidden_size", "proj_size"]
    assert [getattr(ours, a) for a in attributes] == [getattr(theirs, a) for a in attributes]
    assert [(n, p.shape) for n, p in ours.named_parameters()] == [
        (n, p.shape) for n, p in theirs.named_parameters()
    ]


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_reset_parameters_draws_as_torch_and_leaves_the_generator_there(kind: str) -> None:
    states = []
    for module in twins(kind, bias=True):
        torch.manual_seed(11)
        module.reset_parameters()
        states.append({**module.state_dict(), "next draw": torch.rand(1)})
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


@pytest.mark.parametrize("kind", CELLS)
def test_a_cells_state_dict_goes_both_ways(kind: str) -> None:
    ours, theirs = twins(kind)
    torch.nn.init.normal_(ours.weight_hh)
    theirs.load_state_dict(ours.state_dict())
    assert_same({"h": first(ours(batch(kind)))}, {"h": first(theirs(batch(kind)))})
    torch.nn.init.normal_(theirs.weight_ih)
    ours.load_state_dict(theirs.state_dict())
    assert_same({"h": first(ours(batch(kind)))}, {"h": first(theirs(batch(kind)))})


def saved_and_loaded(module: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(module, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("way", [copy.deepcopy, saved_and_loaded, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_cells_are_whole_and_apart(kind: str, way: Any) -> None:
    cell, x = twins(kind)[0], batch(kind)
    other = way(cell)
    assert torch.equal(first(other(x)), first(cell(x))) and repr(other) == repr(cell)
    with torch.no_grad():
        other.weight_hh.zero_()
        other.bias_ih.zero_()
    assert cell.weight_hh.any() and not torch.equal(first(other(x)), first(cell(x)))


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("how", ["weight_norm", "pruned", "data", "shared"])
def test_computed_and_changed_weights_of_cells(kind: str, how: str) -> None:
    results = []
    for cell in twins(kind):
        if how == "weight_norm":
            parametrizations.weight_norm(cell, "weight_hh")
        elif how == "pruned":
            prune.l1_unstructured(cell, "weight_ih", 0.5)
        elif how == "data":
            cell.weight_ih.data.mul_(0.5)
        else:
            cell.share_memory()
            assert cell.weight_hh.is_shared()
        h = first(cell(batch(kind)))
        h.square().sum().backward()
        results.append({"h": h.detach()} | {n: p.grad for n, p in cell.named_parameters()})
    for name, value in results[1].items():
        if value is None:  # without a state the product with weight_hh is of zeros
            assert results[0][name] is None or not results[0][name].any()
        else:
            torch.testing.assert_close(results[0][name], value, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS])
def test_modes_freezing_and_hooks(kind: str) -> None:
    module, x = twins(kind)[0], batch(kind)
    y = first(module(x))
    with torch.no_grad():
        assert not first(module(x)).requires_grad
    with torch.inference_mode():
        assert first(module(x)).is_inference()
    names = [name for name, _ in module.named_parameters()]
    for frozen in names:  # each in its turn
        module.zero_grad(set_to_none=True)
        getattr(module, frozen).requires_grad_(False)
        first(module(x)).sum().backward()
        assert [n for n, p in module.named_parameters() if p.grad is None] == [frozen]
        getattr(module, frozen).requires_grad_(True)
    seen: list[str] = []
    with module.register_forward_hook(lambda *_: seen.append("forward")):
        assert torch.equal(first(module(x)), y)
    assert seen == ["forward"]


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_in_eval_mode(kind: str) -> None:
    gradients = []
    for mode in (True, False):
        module = twins(kind, num_layers=2, bidirectional=True)[0].train(mode)
        module(batch(kind))[0].square().sum().backward()
        gradients.append([p.grad for p in module.parameters()])
    assert all(torch.equal(a, b) and a.any() for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("kind", LAYERS)
def test_data_parallel_of_one_place(kind: str) -> None:
    ours, theirs = twins(kind, num_layers=2, batch_first=True)
    wrapped = torch.nn.DataParallel(ours)  # without a GPU it calls the module itself
    x = batch(kind)
    assert_same({"y": wrapped(x)[0]}, {"y": theirs(x)[0]})
    assert list(wrapped.state_dict()) == [f"module.{name}" for name in theirs.state_dict()]


@pytest.mark.parametrize("kind", CELLS)
def test_cells_under_autocast_compute_in_their_own_type(kind: str) -> None:
    cell, x = getattr(nn, kind)(I, H), batch(kind).float()
    with torch.autocast("cpu", torch.bfloat16):
        h = first(cell(x.bfloat16()))
    assert h.dtype == torch.float32 and torch.equal(h, first(cell(x.bfloat16().float())))


@pytest.mark.parametrize("kind", CELLS)
def test_second_derivatives_and_per_sample_gradients_of_cells(kind: str) -> None:
    cell = twins(kind)[0]
    names, weights = zip(*cell.named_parameters(), strict=True)
    state = [torch.randn(B, H, dtype=torch.float64, requires_grad=True) for _ in range(1 + ("LSTM" in kind))]

    def step(x: Tensor, *rest: Tensor) -> Any:
        given = tuple(rest[: len(state)]) if "LSTM" in kind else rest[0]
        return functional_call(cell, dict(zip(names, rest[len(state) :], strict=True)), (x, given))

    where = (batch(kind).requires_grad_(), *state, *weights)
    assert torch.autograd.gradcheck(step, where, fast_mode=True)
    assert torch.autograd.gradgradcheck(step, where, fast_mode=True)

    def loss(own: dict[str, Tensor], x: Tensor) -> Tensor:
        return first(functional_call(cell, own, (x,))).square().sum()

    each = vmap(grad(loss), (None, 0))(dict(cell.named_parameters()), batch(kind))
    for b in range(B):
        cell.zero_grad()
        first(cell(batch(kind)[b])).square().sum().backward()
        for name, p in cell.named_parameters():
            torch.testing.assert_close(each[name][b], p.grad, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", CELLS)
def test_cells_refuse_what_torchs_refuse(kind: str) -> None:
    ours, theirs = twins(kind)
    bad: list[tuple[Any, ...]] = [
        (torch.zeros(B, I + 1).double(),),
        (torch.zeros(2, B, I).double(),),
        (torch.zeros(B, I).float(),),
        (torch.zeros(B, I).double(), torch.zeros(B + 1, H).double()),
    ]
    for given in bad:
        arguments = (given[0], (given[1], given[1])) if len(given) == 2 and "LSTM" in kind else given
        with pytest.raises((ValueError, RuntimeError, AssertionError)) as refused:
            theirs(*arguments)
        with pytest.raises(UsageError) as caught:
            ours(*arguments)
        assert isinstance(caught.value, type(refused.value)) and "\n" not in str(caught.value)


# The short way, which the commonest calls go.

COMMON: list[dict[str, Any]] = [{}, {"num_layers": 3}, {"num_layers": 2, "batch_first": True}]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("arguments", [*COMMON, {"num_layers": 2, "dropout": 0.5}])
@pytest.mark.parametrize("with_state", [True, False])
def test_the_short_way_gives_the_bits_of_the_general_one(
    kind: str, arguments: dict[str, Any], with_state: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome() -> list[Tensor]:
        module, x = twins(kind, **arguments)[0], batch(kind)
        rows = x.shape[0] if module.batch_first else x.shape[1]
        parts = [p + 0.1 for p in nn.state.zeros(module, rows)] if with_state else []
        for p in [x, *parts]:
            p.requires_grad_()
        state = None if not parts else tuple(parts) if kind == "LSTM" else parts[0]
        torch.manual_seed(5)
        y, last = module(x, state)
        outputs = [y, *(last if kind == "LSTM" else (last,))]
        total = sum((n + 1) * o.square().sum() for n, o in enumerate(outputs))
        return [*outputs, *torch.autograd.grad(total, [x, *parts, *module.parameters()])]

    with monkeypatch.context() as patch:
        patch.setattr(entry, "enter", lambda *_: pytest.fail("the general way was gone"))
        short = outcome()
    monkeypatch.setattr(layer.short, "run", lambda *_: None)
    for a, b in zip(short, outcome(), strict=True):
        assert torch.equal(a, b) and a.shape == b.shape


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: setattr(m.weight_hh_l1, "data", m.weight_hh_l1.data.bfloat16()),
        lambda m: setattr(m.weight_hh_l1, "data", m.weight_hh_l1.data[:, :-1]),
        lambda m: setattr(m.bias_ih_l1, "data", m.bias_ih_l1.data.float()),
    ],
)
def test_a_second_layer_that_does_not_fit_is_refused(spoil: Any) -> None:
    module = twins("LSTM", num_layers=2)[0]
    spoil(module)
    with pytest.raises((UsageError, TypeError)):
        module(batch("LSTM"))
