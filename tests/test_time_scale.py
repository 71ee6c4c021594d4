"""Gates that begin so that units remember for as long as was chosen."""

from typing import Any

import pytest
import torch

from backtime import UsageError, nn
from backtime.models.chrono import set_time_scales

I, H = 5, 8


def scaled(kind: Any, longest: int) -> Any:
    torch.manual_seed(0)
    layer = kind(I, 400, num_layers=2, bidirectional=True)
    set_time_scales(layer, longest)
    return layer


@pytest.mark.parametrize("longest", [3, 600])
def test_units_remember_for_as_long_as_was_chosen(longest: int) -> None:
    """1 / (1 - k) steps, with k the share of the state that a unit keeps; what is new has the rest."""
    lstm, gru = scaled(nn.LSTM, longest), scaled(nn.GRU, longest)
    for end in ("l0", "l1_reverse"):
        i, f, _, _ = (getattr(lstm, f"bias_ih_{end}") + getattr(lstm, f"bias_hh_{end}")).detach().chunk(4)
        torch.testing.assert_close(i.sigmoid() + f.sigmoid(), torch.ones(400))
        _, z, _ = (getattr(gru, f"bias_ih_{end}") + getattr(gru, f"bias_hh_{end}")).detach().chunk(3)
        for gate in (f, z):
            steps = 1 / (1 - gate.double().sigmoid())
            assert 2 <= steps.min() < 2 + 0.03 * longest and longest * 0.97 < steps.max() <= longest * 1.001
            assert float(steps.mean()) == pytest.approx((2 + longest) / 2, rel=0.1)
    with pytest.raises(UsageError, match="--time-scale 9 with --cell rnn"):
        scaled(nn.RNN, 9)


def test_a_unit_left_alone_forgets_at_its_time_scale() -> None:
    """With no weights but the biases, the state of a GRU falls to 1 - 1 / u at each step."""
    layer = scaled(nn.GRU, 50)
    with torch.no_grad():
        for name, own in layer.named_parameters():
            if name.startswith("weight"):
                own.zero_()
        h0 = torch.ones(4, 1, 400)
        y, _ = layer(torch.zeros(1, 1, I), h0)
        z = layer.bias_ih_l1[400:800].sigmoid()
        n = (
            layer.bias_ih_l1[800:]
            + layer.bias_hh_l1[800:] * (layer.bias_ih_l1 + layer.bias_hh_l1)[:400].sigmoid()
        ).tanh()
    torch.testing.assert_close(y[0, 0, :400], z + (1 - z) * n)
