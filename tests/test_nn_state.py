"""Helpers for states."""

from pathlib import Path
from typing import Any

import pytest
import torch

from backtime import UsageError, nn
from backtime.nn import state

B, I, H = 3, 4, 6


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, B, 2, requires_grad=True), torch.randn(4, B, H, requires_grad=True)


@pytest.mark.parametrize("given", [pair(), pair()[0]])
def test_detach_select_and_reset_change_every_part(given: Any) -> None:
    parts = given if isinstance(given, tuple) else (given,)

    def same_form(found: Any) -> tuple[Any, ...]:
        assert type(found) is type(given) or isinstance(found, torch.Tensor)
        return found if isinstance(found, tuple) else (found,)

    for part, found in zip(parts, same_form(state.detach(given)), strict=True):
        assert not found.requires_grad and torch.equal(found, part)
    for part, found in zip(parts, same_form(state.select(given, [2, 0])), strict=True):
        assert torch.equal(found, part[:, [2, 0]])
    for part, found in zip(parts, same_form(state.reset(given, [False, True, False])), strict=True):
        assert not found[:, 1].any() and torch.equal(found[:, [0, 2]], part[:, [0, 2]])
        assert part[:, 1].any()
    with pytest.raises(
        UsageError, match=r"mask is torch.int64 of shape \(3,\); expected torch.bool \(B,\) = \(3,\)"
    ):
        state.reset(given, torch.tensor([0, 1, 0]))


def test_layers_and_directions_come_apart_and_together() -> None:
    h, c = pair()
    apart = state.unstack((h, c))
    assert len(apart) == 4 and torch.equal(apart[2][1], c[2])
    again = state.stack(apart)
    assert torch.equal(again[0], h) and torch.equal(again[1], c)
    assert torch.equal(state.stack(state.unstack(h)), h)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "Jordan"])
def test_zeros_are_what_none_means(kind: str) -> None:
    layer = nn.Jordan(I, H, 2, bidirectional=True) if kind == "Jordan" else getattr(nn, kind)(I, H, 2)
    layer = layer.double()
    x = torch.randn(5, B, I).double()
    given = state.initial(layer, B)
    assert torch.equal(layer(x, given)[0], layer(x)[0])
    assert isinstance(given, tuple) == (kind == "LSTM")


@pytest.mark.parametrize("given", [pair(), pair()[0]])
def test_a_saved_state_comes_back_without_the_batch_it_was_cut_from(given: Any, tmp_path: Path) -> None:
    wide = state.select(given, [0] * 1000)
    cut = tuple(part[:, :1] for part in wide) if isinstance(wide, tuple) else wide[:, :1]
    state.save(cut, tmp_path / "state")
    assert (tmp_path / "state").stat().st_size < 10_000  # the thousand rows take some 30 kB and more
    found = state.load(tmp_path / "state")
    assert isinstance(found, tuple) == isinstance(given, tuple)
    for part, saved in zip(*(s if isinstance(s, tuple) else (s,) for s in (found, cut)), strict=True):
        assert torch.equal(part, saved) and not part.requires_grad
    moved = state.load(tmp_path / "state", "meta")
    assert (moved[0] if isinstance(moved, tuple) else moved).is_meta


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_stream_goes_on_from_a_saved_state(kind: str, tmp_path: Path) -> None:
    layer, x = getattr(nn, kind)(I, H, 2), torch.randn(7, B, I)
    whole = layer(x)[0]
    state.save(layer(x[:4])[1], tmp_path / "state")
    assert torch.equal(layer(x[4:], state.load(tmp_path / "state"))[0], whole[4:])
