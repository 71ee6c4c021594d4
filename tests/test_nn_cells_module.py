"""The life of a cell: copied, saved, changed, differentiated twice; and what it refuses, as torch.nn's."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrizations, prune

from backtime import UsageError, nn
from test_nn import assert_same
from test_nn_face import CELLS, B, H, I, batch, first, twins

pytestmark = pytest.mark.filterwarnings("ignore::backtime.nn.FallbackWarning")


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
