"""A network trained on a problem that needs memory: what counts as solved, and what a remedy does."""

from typing import Any

import numpy as np
import pytest
import torch

from backtime.long_dependencies import trial
from backtime.long_dependencies.problems import PROBLEMS, Drawn
from backtime.long_dependencies.remedies import PARTS, Remedy, make_remedy
from backtime.long_dependencies.trial import Rememberer, Trial


def make(name: str, delay: int, cell: str, remedy: str = "none", **changes: Any) -> Trial:
    usual = {"hidden_size": 16, "batch_size": 64, "lr": 0.02, "steps": 400, "check_every": 20, "seed": 1}
    return Trial(PROBLEMS[name], delay, cell, make_remedy(remedy), **(usual | changes))


def never() -> bool:
    return False


@pytest.mark.parametrize(("name", "delay"), [("order", 10), ("parity", 2)])
def test_a_short_delay_is_solved(name: str, delay: int) -> None:
    found = trial.run(make(name, delay, "gru", "clip"), never)
    assert found.end == "solved" and found.is_solved and found.score > 0.99
    assert found.curve[-1][0] == found.steps < 400 and found.curve[-1][1] > 0.99


def test_a_trial_is_repeated_by_its_seed() -> None:
    ends = [trial.run(make("order", 10, "lstm", steps=5, seed=seed), never).score for seed in (1, 1, 2)]
    assert ends[0] == ends[1] != ends[2]


def test_answers_that_are_noise_are_not_called_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sequences, each with the answer of another."""
    plain = PROBLEMS["order"].draw

    def shuffled(delay: int, count: int, random: np.random.Generator) -> Drawn:
        x, y = plain(delay, count, random)
        return Drawn(x, random.permutation(y, axis=1))

    problem = PROBLEMS["order"]
    monkeypatch.setitem(PROBLEMS, "order", type(problem)(**{**vars(problem), "draw": shuffled}))
    found = trial.run(make("order", 10, "gru", "clip", steps=150), never)
    assert found.end == "not solved" and found.score < 0.5


def test_a_lucky_look_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes on the checked sequences has to pass on new ones."""
    looks: list[int] = []

    def lucky(network: Any, problem: Any, batches: Any) -> float:
        looks.append(sum(len(y[0]) for _, y in batches))
        return 1.0 if looks[-1] == trial.CHECKED else 0.7

    monkeypatch.setattr(trial, "score", lucky)
    found = trial.run(make("order", 10, "gru", steps=40), never)
    assert found.end == "not solved" and found.score == 0.7
    assert looks == [trial.CHECKED, trial.CONFIRMED] * 2 + [trial.CONFIRMED]


def test_a_gradient_that_is_not_finite_ends_the_trial() -> None:
    found = trial.run(make("adding", 200, "rnn", "linear", lr=50.0), never)
    assert found.end == "diverged" and not found.is_solved and found.steps < 400


def test_clipping_bounds_what_reaches_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[torch.Tensor]] = []

    class Watching(torch.optim.SGD):
        def __init__(self, weights: Any, lr: float, fused: bool) -> None:
            super().__init__(weights, lr=0.0)

        def step(self, closure: Any = None) -> None:
            seen.append([weight.grad.clone() for weight in self.param_groups[0]["params"]])

    monkeypatch.setattr(torch.optim, "Adam", Watching)
    for remedy in ("none", "clip=0.01", "clip-value=0.001"):
        trial.run(make("adding", 20, "rnn", remedy, steps=1), never)
    norms = [float(torch.cat([g.flatten() for g in own]).norm()) for own in seen]
    largest = [max(float(g.abs().max()) for g in own) for own in seen]
    assert norms[0] > 0.02 and norms[1] == pytest.approx(0.01, rel=1e-3)
    assert largest[0] > 0.002 and largest[2] == pytest.approx(0.001)


def test_a_remedy_is_in_the_network() -> None:
    problem = PROBLEMS["adding"]
    rnn = Rememberer(problem, 20, "rnn", make_remedy("relu+identity"), 8).rnn
    assert rnn.nonlinearity == "relu" and torch.equal(rnn.weight_hh_l0.detach(), torch.eye(8))
    lstm = Rememberer(problem, 20, "lstm", make_remedy("layer-norm+forget-bias=4"), 8).rnn
    assert lstm.settings.layer_norm and (lstm.bias_ih_l0[8:16] == 4).all()


def test_remedies_are_read_part_by_part() -> None:
    assert make_remedy("none") == Remedy()
    assert make_remedy("clip=5+xavier") == Remedy("clip=5+xavier", init="xavier", clip=5.0)
    assert not make_remedy("relu").fits("gru") and not make_remedy("forget-bias").fits("rnn")
    assert all(make_remedy(name).fits("lstm") for name in set(PARTS) - {"relu", "sigmoid", "linear"})
