"""One trial: a network of one recurrent layer, trained on a problem of one delay until it is solved or over.

Every step draws new sequences, so that nothing can be learned by heart. Adam; the gradient is clipped only
where the remedy says so.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from backtime.long_dependencies.problems import Problem
from backtime.long_dependencies.remedies import Remedy
from backtime.models.chrono import SHORTEST, set_time_scales
from backtime.models.initial import initialise
from backtime.nn import GRU, LSTM, RNN
from backtime.training.devices import measuring

LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
CHECKED = 512  # sequences that the score between steps is measured on, always the same ones
CONFIRMED = 2048  # new sequences for the score that counts
AT_ONCE = 256  # sequences measured at once
SOLVED, NOT_SOLVED, DIVERGED, STOPPED = "solved", "not solved", "diverged", "stopped"


@dataclass(frozen=True)
class Trial:
    """What is trained: the sizes are those of ``survey.Plan``."""

    problem: Problem
    delay: int
    cell: str
    remedy: Remedy
    hidden_size: int
    batch_size: int
    lr: float
    steps: int
    check_every: int
    seed: int


@dataclass
class Outcome:
    """What came of a trial.

    - ``end``: solved, not solved (the steps are over), diverged, or stopped before it could be told
    - ``score``: on sequences that training never saw; ``steps`` and ``seconds`` that it took
    - ``curve``: (step, score on the checked sequences) of each look
    """

    end: str = STOPPED
    score: float = float("nan")
    steps: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)

    @property
    def is_solved(self) -> bool:
        """Whether the score is beyond the problem's bound, on new sequences."""
        return self.end == SOLVED

    @property
    def is_over(self) -> bool:
        """Whether the trial came to its end."""
        return self.end != STOPPED


class Rememberer(nn.Module):
    """A recurrent layer and a linear output at the last A steps: answers (A, B, K) to x (T, B, I)."""

    def __init__(self, problem: Problem, delay: int, cell: str, remedy: Remedy, hidden_size: int) -> None:
        """Draw the initial weights, as the remedy has them."""
        super().__init__()
        options: dict[str, Any] = {"layer_norm": True} if remedy.layer_norm else {}
        if remedy.activation != "tanh":
            options["nonlinearity"] = remedy.activation
        self.rnn = LAYERS[cell](problem.inputs, hidden_size, **options)
        self.output = nn.Linear(hidden_size, problem.outputs)
        self.answers = problem.answers
        initialise(self.rnn, remedy.init, None, remedy.forget_bias)
        if remedy.time_scale is not None:
            set_time_scales(self.rnn, remedy.time_scale or max(SHORTEST, delay))

    def forward(self, x: Tensor) -> Tensor:
        """The answers: numbers, or scores of the classes."""
        answers: Tensor = self.output(self.rnn(x)[0][-self.answers :])
        return answers


def run(trial: Trial, stopped: Callable[[], bool]) -> Outcome:
    """Train until the problem is solved, the steps are over, the loss is not finite, or ``stopped()``."""
    torch.manual_seed(trial.seed)
    network = Rememberer(trial.problem, trial.delay, trial.cell, trial.remedy, trial.hidden_size)
    outcome, began = Outcome(), time.perf_counter()
    outcome.end = _train(network, trial, outcome, stopped)
    outcome.seconds = time.perf_counter() - began
    return outcome


def _train(network: Rememberer, trial: Trial, outcome: Outcome, stopped: Callable[[], bool]) -> str:
    adam = torch.optim.Adam(network.parameters(), lr=trial.lr, fused=True)
    train, check, confirm = np.random.default_rng(trial.seed).spawn(3)
    checked = list(_batches(trial, CHECKED, check))
    while outcome.steps < trial.steps:
        if stopped():
            return STOPPED
        if not _step(network, adam, trial, train):
            return DIVERGED
        outcome.steps += 1
        if outcome.steps % trial.check_every and outcome.steps < trial.steps:
            continue
        outcome.curve.append((outcome.steps, score(network, trial.problem, checked)))
        if trial.problem.is_solved(outcome.curve[-1][1]):
            outcome.score = score(network, trial.problem, _batches(trial, CONFIRMED, confirm))
            if trial.problem.is_solved(outcome.score):
                return SOLVED
    outcome.score = score(network, trial.problem, _batches(trial, CONFIRMED, confirm))
    return NOT_SOLVED


def _step(network: Rememberer, adam: torch.optim.Optimizer, trial: Trial, random: Any) -> bool:
    """One step of training; False where loss or gradient is not finite, and the weights stay as they were."""
    x, y = map(torch.from_numpy, trial.problem.draw(trial.delay, trial.batch_size, random))
    adam.zero_grad()
    loss = _loss(network(x), y)
    loss.backward()  # type: ignore[no-untyped-call]
    if trial.remedy.clip_value is not None:
        clip_grad_value_(network.parameters(), trial.remedy.clip_value)
    norm = clip_grad_norm_(network.parameters(), trial.remedy.clip or torch.inf)
    if not torch.isfinite(norm) or not torch.isfinite(loss):
        return False
    adam.step()
    return True


def _loss(answers: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of numbers, mean cross-entropy in nats of classes."""
    if y.is_floating_point():
        return functional.mse_loss(answers[..., 0], y)
    return functional.cross_entropy(answers.flatten(0, 1), y.flatten())


def _batches(trial: Trial, count: int, random: Any) -> Iterator[tuple[Tensor, ...]]:
    for _ in range(0, count, AT_ONCE):
        yield tuple(map(torch.from_numpy, trial.problem.draw(trial.delay, AT_ONCE, random)))


def score(network: nn.Module, problem: Problem, batches: Any) -> float:
    """The mean squared error of the answers, or the share of them that is right."""
    found: list[float] = []
    with measuring(network):
        for x, y in batches:
            answers = network(x)
            right = (answers[..., 0] - y).square() if problem.is_regression else answers.argmax(-1) == y
            found.append(right.double().mean().item())
    return sum(found) / len(found)
