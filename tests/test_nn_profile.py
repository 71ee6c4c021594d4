"""What profilers and counters see of a layer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from backtime import nn

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
KINDS = ("RNN", "GRU", "LSTM")
T, B, I, H = 5, 3, 10, 20


def profiled(**arguments: Any) -> profile:
    return profile(activities=[ProfilerActivity.CPU], **arguments)


def names(seen: profile) -> list[str]:
    return [event.name for event in seen.events() or []]


@pytest.mark.parametrize("kind", [*KINDS, *(f"{kind}Cell" for kind in KINDS)])
def test_a_call_has_a_name_with_gradients_and_without(kind: str) -> None:
    module = getattr(nn, kind)(I, H)
    x = torch.randn(*(() if "Cell" in kind else (T,)), B, I)
    with profiled() as seen, torch.no_grad():
        module(x)
    assert names(seen) == [f"backtime::{kind.removesuffix('Cell').lower()}"]
    with profiled() as seen:
        y = module(x)
        (y[0] if isinstance(y, tuple) else y).sum().backward()
    assert "_Network" in names(seen) and "_NetworkBackward" in names(seen)


def test_the_name_changes_nothing_and_is_not_there_without_a_profiler() -> None:
    layer, x = nn.LSTM(I, H, 2), torch.randn(T, B, I)
    with torch.no_grad():
        y = layer(x)[0]
        with profiled():
            assert torch.equal(layer(x)[0], y)
    assert not torch.autograd.profiler._is_profiler_enabled


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_is_summed_up_and_written(kind: str, tmp_path: Path) -> None:
    layer = getattr(nn, kind)(I, H, 2)
    with profiled(record_shapes=True, profile_memory=True, with_stack=True, with_modules=True) as seen:
        for _ in range(3):
            layer(torch.randn(T, B, I))[0].sum().backward()
    (own,) = [row for row in seen.key_averages(group_by_input_shape=True) if row.key == "_Network"]
    assert own.count == 3 and own.cpu_time_total > 0
    assert "_NetworkBackward" in seen.key_averages().table(sort_by="self_cpu_time_total")
    seen.export_chrome_trace(str(tmp_path / "trace.json"))
    assert "_NetworkBackward" in (tmp_path / "trace.json").read_text()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_products_are_counted(kind: str, bidirectional: bool) -> None:
    layer = getattr(nn, kind)(I, H, bidirectional=bidirectional)
    products = 2 * T * B * (I + H) * GATES[kind] * H * (2 if bidirectional else 1)
    with FlopCounterMode(display=False) as forward:
        y = layer(torch.randn(T, B, I))[0]
    assert forward.get_total_flops() == products
    with FlopCounterMode(display=False) as backward:
        y.sum().backward()
    assert backward.get_total_flops() == 3 * products  # two gradients, and the layer once more


def test_counted_as_of_torchs_layer_and_projections_and_tokens_too() -> None:
    theirs, ours = torch.nn.GRU(I, H), nn.GRU(I, H)
    x = torch.randn(T, B, I)
    with FlopCounterMode(display=False) as expected:
        theirs(x)
    with FlopCounterMode(display=False) as found:
        ours(x)
    assert found.get_total_flops() == expected.get_total_flops() > 0
    with FlopCounterMode(display=False) as tokens:
        ours(torch.randint(I, (T, B)))
    assert tokens.get_total_flops() == 2 * T * B * 3 * H * H  # a one-hot row picks a column
    with FlopCounterMode(display=False) as projected:
        nn.LSTM(I, H, proj_size=4)(x)
    assert projected.get_total_flops() == 2 * T * B * (4 * H * (I + 4) + 4 * H)
