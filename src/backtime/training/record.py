"""The numbers of a log line, and how long the run will still take."""

from typing import Any

from backtime.training.settings import Settings
from backtime.training.state import RunState
from backtime.training.task import Task

Record = dict[str, Any]  # a line of metrics.jsonl


def make_record(state: RunState, task: Task, rate: float, found: dict[str, float]) -> Record:
    """What is known of the steps in ``state.window``; None where there is no number.

    ``found`` is the validation made at this line, if one was: each metric NAME stands in it as ``val_NAME``.
    """
    window = state.window
    speed = window.count / window.seconds if window.seconds else None
    return {
        "step": state.step,
        "epoch": state.epoch + state.chunk / task.steps_per_epoch,
        "tokens": state.tokens,
        "seconds": round(state.seconds, 3),
        "loss": window.loss,
        **{f"val_{metric.name}": found.get(metric.name) for metric in task.metrics},
        "lr": rate,
        "grad_norm": window.norm,
        "clipped": window.share_clipped,
        "tokens_per_second": speed and round(speed, 1),
    }


def seconds_left(settings: Settings, state: RunState, steps_per_epoch: int) -> float:
    """An estimate, from the pace so far and whichever limit comes first."""
    steps = settings.epochs * steps_per_epoch
    steps = min(steps, settings.max_steps or steps) - state.step
    left = steps * state.seconds / max(1, state.step)
    return min(left, 60 * settings.minutes - state.seconds) if settings.minutes else left
