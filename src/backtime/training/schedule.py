"""The learning rate of each step: a pure function of the settings and of what the run has counted.

PyTorch's schedulers keep a memory of their own; a function of saved counters cannot disagree with them
after a resume.
"""

import math

from backtime.training.settings import Settings
from backtime.training.state import RunState

DECAY, DECAY_AFTER = (
    0.97,
    10,
)  # exponential: char-rnn's learning_rate_decay and learning_rate_decay_after (epochs)
FLOOR = 0.02  # cosine: the share of the rate that is left at the end
PLATEAU_PATIENCE, PLATEAU_FACTOR = 2, 0.5  # validations without progress before the rate falls, and how far


def learning_rate(settings: Settings, state: RunState, steps_per_epoch: int) -> float:
    """The rate of the step that comes next.

    ``rate * warmup * decay * shape * penalty``, where the warm-up rises linearly over ``settings.warmup``
    steps, the decay is ``lr_decay`` for each epoch after ``lr_decay_after`` whole ones, the shape is the
    schedule's, and the penalty is what rollbacks after a divergence left of the rate.
    The cosine falls over ``settings.epochs`` epochs as the run began with (``state.horizon``), whatever
    ``--max-steps``, ``--minutes`` or a resume make of its length.
    """
    warmup = min(1.0, (state.step + 1) / settings.warmup) if settings.warmup else 1.0
    decay = settings.lr_decay ** max(0, state.epoch - settings.lr_decay_after + 1)
    return settings.rate * warmup * decay * _shape(settings, state, steps_per_epoch) * state.penalty


def _shape(settings: Settings, state: RunState, steps_per_epoch: int) -> float:
    if settings.schedule == "exponential":
        return DECAY ** max(0, state.epoch - DECAY_AFTER + 1)  # first after epoch 10 is complete
    if settings.schedule == "cosine":
        length = max(1, state.horizon * steps_per_epoch - settings.warmup)
        done = min(1.0, max(0, state.step - settings.warmup) / length)
        return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * done)) / 2
    if settings.schedule == "plateau":
        return PLATEAU_FACTOR**state.plateau_drops
    return 1.0


def after_validation(state: RunState, better: bool) -> None:
    """After ``PLATEAU_PATIENCE`` validations without a better one the rate falls."""
    state.plateau_wait = 0 if better else state.plateau_wait + 1
    if state.plateau_wait > PLATEAU_PATIENCE:
        state.plateau_drops += 1
        state.plateau_wait = 0
