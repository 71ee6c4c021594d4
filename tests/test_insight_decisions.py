"""Which steps decided: against finite differences, and a layer that is linear."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from backtime import nn
from backtime.insight.decisions import Decision, contributions, log_odds

T, I, H = 7, 3, 5


def linear() -> nn.RNN:
    torch.manual_seed(0)
    return nn.RNN(I, H, nonlinearity="identity", bias=False).double()


def test_a_linear_layer_has_both_figures_alike_and_they_add_up_to_the_score() -> None:
    layer, x = linear(), torch.randn(T, 1, I, dtype=torch.float64)

    def score() -> torch.Tensor:
        return layer(x)[1].sum()

    gradient, occlusion = contributions(layer, score)
    np.testing.assert_allclose(gradient, occlusion, atol=1e-12)
    np.testing.assert_allclose(gradient.sum(), float(score().detach()), atol=1e-12)


def test_the_gradient_is_that_of_scaling_a_step() -> None:
    """``sum_i x_ti dz/dx_ti`` is the derivative of z by a factor on step t, at 1: by central differences."""
    torch.manual_seed(1)
    layer, x = nn.LSTM(I, H, bidirectional=True).double(), torch.randn(T, 1, I, dtype=torch.float64)

    def z(rows: torch.Tensor) -> float:
        return float(layer(rows)[0][3].sum().detach())

    gradient, occlusion = contributions(layer, lambda: layer(x)[0][3].sum())
    for t in range(T):
        more, less, gone = x.clone(), x.clone(), x.clone()
        more[t] *= 1 + 1e-5
        less[t] *= 1 - 1e-5
        gone[t] = 0
        assert gradient[t] == pytest.approx((z(more) - z(less)) / 2e-5, abs=1e-8)
        assert occlusion[t] == pytest.approx(z(x) - z(gone), abs=1e-12)


def test_packed_rows_and_the_hooks_are_gone() -> None:
    layer, x = linear(), torch.randn(T, I, dtype=torch.float64)
    packed, padded = pack_sequence([x]), x.unsqueeze(1)
    found = contributions(layer, lambda: layer(packed)[1].sum())
    np.testing.assert_array_equal(found, contributions(layer, lambda: layer(padded)[1].sum()))
    assert not layer._forward_pre_hooks and x.grad is None


def test_agreement_is_pearsons_and_zero_for_constants() -> None:
    rising = np.arange(4.0)
    assert Decision("a", 1, list("abcd"), rising, 2 * rising + 1).agreement == pytest.approx(1)
    assert Decision("a", 1, list("abcd"), rising, -rising).agreement == pytest.approx(-1)
    assert Decision("a", 1, list("abcd"), rising, np.ones(4)).agreement == 0


def test_log_odds_are_those_of_the_probabilities() -> None:
    torch.manual_seed(2)
    z, answers = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 4, 2, 2])
    p = z.softmax(1)[range(4), answers]
    torch.testing.assert_close(log_odds(z, answers), torch.log(p / (1 - p)))
    torch.testing.assert_close(log_odds(z + 7, answers), log_odds(z, answers))
    sure = torch.tensor([[60.0, 0.0]], requires_grad=True)  # p is 1 in float32
    (slope,) = torch.autograd.grad(log_odds(sure, torch.tensor([0])).sum(), sure)
    assert slope.tolist() == [[1.0, -1.0]]


def test_several_scores_are_each_as_one_alone_and_one_may_have_no_part_in_the_layer() -> None:
    torch.manual_seed(3)
    layer, x = nn.GRU(I, H), torch.randn(T, 1, I)

    def of_unit(unit: int | slice) -> torch.Tensor:
        found: torch.Tensor = layer(x)[0][-1, 0, unit]
        return found

    gradient, occlusion = contributions(layer, partial(of_unit, slice(None)))
    assert gradient.shape == occlusion.shape == (H, T)
    for unit in range(H):
        one = contributions(layer, partial(of_unit, unit))
        np.testing.assert_allclose([gradient[unit], occlusion[unit]], one, atol=1e-6)
    still = contributions(layer, lambda: torch.stack([layer(x)[0].sum(), torch.ones((), requires_grad=True)]))
    assert not still[0][1].any() and not still[1][1].any()
