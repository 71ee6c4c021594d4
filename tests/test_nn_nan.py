"""NaN in the input: one warning a model, with the place; and nothing is looked at where there is none."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from backtime import kernels, nn
from backtime.nn.backends import nan_input

pytestmark = pytest.mark.skipif(not kernels.available(), reason="it is the engine that looks")
I, H, T, B = 3, 4, 6, 5
NAN = float("nan")


def spoiled(*places: tuple[int, int]) -> torch.Tensor:
    """(T, B, I) with NaN at these steps and rows."""
    x = torch.randn(T, B, I)
    for t, b in places:
        x[t, b, 1] = NAN
    return x


def said(call: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as all_of_them:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in all_of_them if one.category is nn.NaNWarning]


CALLS: dict[str, Callable[[Any, torch.Tensor], Any]] = {
    "dense": lambda layer, x: layer(x),
    "lengths": lambda layer, x: layer(x, lengths=[6, 6, 6, 5, 6]),
    "packed": lambda layer, x: layer(
        pack_padded_sequence(x, torch.tensor([2, 6, 6, 5, 6]), enforce_sorted=False)
    ),
}


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("form", CALLS)
@pytest.mark.parametrize(
    "arguments", [{}, {"bidirectional": True}, {"num_layers": 2, "nonlinearity": "relu"}]
)
@pytest.mark.parametrize("gradients", [True, False])
def test_the_first_place_is_named(kind: str, form: str, arguments: Any, gradients: bool) -> None:
    if kind != "RNN":
        arguments = {name: value for name, value in arguments.items() if name != "nonlinearity"}
    layer = getattr(nn, kind)(I, H, **arguments)
    x = spoiled((3, 4), (3, 2), (4, 1))
    with torch.set_grad_enabled(gradients):
        (words,) = said(lambda: CALLS[form](layer, x))
    assert words == f"the input of {kind} holds NaN: first at step 3, row 2 (from 0), in 3 rows"


def test_other_forms_of_the_input() -> None:
    x = spoiled((3, 2))
    assert "step 3, row 2" in said(lambda: nn.GRU(I, H, batch_first=True)(x.transpose(0, 1)))[0]
    assert "step 3, row 0" in said(lambda: nn.GRU(I, H)(x[:, 2]))[0]
    (words,) = said(lambda: nn.LSTMCell(I, H)(x[3]))
    assert words == "the input of LSTMCell holds NaN: row 2 (from 0), in 1 row"
    assert "row 0" in said(lambda: nn.RNNCell(I, H)(x[3, 2]))[0]


class Model(torch.nn.Module):
    """Two layers, one upon the other."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.Linear(I, I)
        self.encoder = torch.nn.ModuleDict({"rnn": nn.LSTM(I, H)})
        self.decoder = nn.GRU(H, H)

    def forward(self, x: torch.Tensor) -> Any:
        return self.decoder(self.encoder["rnn"](self.norm(x))[0])[0]


def test_one_warning_a_model() -> None:
    model = Model()
    assert said(lambda: model(torch.randn(T, B, I))) == []
    (words,) = said(lambda: [model(spoiled((2, n))) for n in range(3)])
    assert words == "the input of LSTM 'encoder.rnn' holds NaN: first at step 2, row 0 (from 0), in 1 row"
    another = copy.deepcopy(model)
    assert len(said(lambda: another(spoiled((2, 1))))) == 1


def test_the_users_line_is_named() -> None:
    with pytest.warns(nn.NaNWarning) as found:
        Model()(spoiled((2, 1)))
    assert found[0].filename == __file__


def test_what_is_not_the_inputs_fault_is_not_said() -> None:
    layer = nn.GRU(I, H)
    assert said(lambda: layer(torch.randn(T, B, I), torch.full((1, B, H), NAN))) == []  # of what has diverged
    assert said(lambda: layer(spoiled((5, 2)), lengths=[6, 6, 5, 6, 6])) == []  # beyond the length
    with torch.no_grad():
        layer.weight_hh_l0[0, 0] = NAN
    assert said(lambda: layer(torch.randn(T, B, I))) == []
    assert said(lambda: nn.GRU(I, H)(torch.randint(I, (T, B)))) == []


def test_nothing_is_looked_at_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*_: Any) -> None:
        raise AssertionError("looked")

    monkeypatch.setattr(nan_input, "look", looked)
    x = torch.randn(T, B, I)
    x[0, 0, 0] = float("inf")
    for layer in (nn.GRU(I, H), nn.LSTM(I, H, 2, bidirectional=True)):
        layer(x)[0].sum().backward()
        with torch.no_grad():
            layer(x)
    with pytest.raises(AssertionError, match="looked"):
        nn.GRU(I, H)(spoiled((0, 0)))
