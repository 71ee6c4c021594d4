"""The benchmark of the tasks' training compares the same network on two kinds of layers."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from backtime import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import common, task_data, tasks

CLOSE = tasks.TOLERANCE


def test_every_task_is_measured() -> None:
    from backtime.tasks import TASKS

    assert set(task_data.JOBS) == set(TASKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", task_data.JOBS)
def test_both_sides_train_the_same(name: str) -> None:
    losses = [tasks.work(name, side, 0)["losses"] for side in tasks.SIDES]
    assert len(losses[0]) == tasks.COMPARED
    common.agree(name, losses[1:], losses[:1], CLOSE)


def test_layers_are_those_of_torch_with_lengths_as_a_packed_sequence() -> None:
    torch.manual_seed(0)
    model: Any = torch.nn.ModuleDict({"rnn": nn.LSTM(3, 4, bidirectional=True)})
    x, lengths = torch.randn(5, 2, 3), torch.tensor([5, 2])
    expected = model["rnn"](x, lengths=lengths)
    tasks.to_torch(model)
    assert type(model["rnn"]) is torch.nn.LSTM
    found = model["rnn"](x, lengths=lengths)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(model["rnn"](x[:, :1])[0], expected[0][:, :1])


def test_sides_that_differ_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        side: {"losses": [1.0, 0.5 + wrong], "median": 1.0, "least": 1.0}
        for side, wrong in zip(tasks.SIDES, (0.0, 1e-3), strict=True)
    }
    monkeypatch.setattr(tasks.children, "run", lambda module, words: found[words[3]])
    with pytest.raises(SystemExit, match="classify: losses: result 0 is off"):
        tasks.measure("classify", 1.0, 1)
    found["backtime"]["losses"] = [1.0, 0.5]
    assert tasks.measure("classify", 1.0, 2)[-1] == "1.00"
