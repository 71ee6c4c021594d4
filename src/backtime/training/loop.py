"""Truncated backpropagation through time, step after step, with what is due in between.

A carried state goes from step to step without its graph and starts anew with each epoch.
"""

import math
import time

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from backtime.training import averaging, divergence, saving
from backtime.training.carried import detached
from backtime.training.metrics import main_value
from backtime.training.optimisers import set_rate
from backtime.training.record import seconds_left
from backtime.training.run import Run
from backtime.training.schedule import after_validation, learning_rate
from backtime.training.state import Window


@np.errstate(over="ignore", invalid="ignore")  # ``divergence`` looks for what is not finite, and tells
def train(run: Run) -> str:
    """Train until something says stop, save, and return what."""
    run.signals.patient = True
    run.clock = time.perf_counter()
    while True:
        try:
            reason = reason_to_stop(run)
            if not reason:
                _advance(run)
                continue
            if run.saved_step != run.state.step:
                saving.save(run)
            break
        except divergence.Diverged as fault:
            saving.roll_back(run, fault)
    if run.validated_step != run.state.step:
        saving.close(run, reason)
    if reason == "patience":
        run.progress.note(f"no better validation in {run.settings.patience}{run.verdict()}")
    return reason


def reason_to_stop(run: Run) -> str:
    """Interrupt, output (nobody reads it any more), epochs, max-steps, minutes or patience; empty while the
    run goes on.
    """
    state, settings = run.state, run.settings
    reached = {
        "interrupt": run.signals.received is not None,
        "output": run.progress.lost is not None,
        "epochs": state.epoch >= settings.epochs,
        "max-steps": settings.max_steps is not None and state.step >= settings.max_steps,
        "minutes": settings.minutes is not None and state.seconds >= 60 * settings.minutes,
        "patience": settings.patience is not None and state.stale >= settings.patience,
    }
    codes = [code for code, stop in enumerate(reversed(reached.values()), 1) if stop]
    code = run.group.agreed(max(codes, default=0))  # the first of the reasons has the largest
    return ["", *reversed(reached)][code]


def _advance(run: Run) -> None:
    """One step, and whatever is due after it."""
    _step(run)
    step, found = run.state.step, {}
    if due := step % run.validate_every == 0:
        found = _validate(run)
    looks = run.settings.flow_every is not None and step % run.settings.flow_every == 0
    if due or looks or step % run.settings.log_every == 0:
        _log(run, found, run.look() if looks else {})
    run.tick()
    if run.save_is_due():
        saving.save(run)
    run.progress.step(step)


def _step(run: Run) -> None:
    state, started = run.state, time.perf_counter()
    if state.chunk == 0:
        run.carried = run.task.initial_state()
    set_rate(run.optimiser, learning_rate(run.settings, state, run.task.steps_per_epoch))
    run.model.train()
    run.optimiser.zero_grad()
    scaled, loss, carried, count = run.group.losses(state.epoch, state.chunk, run.carried)
    if run.task.gradient_scale != 1:
        scaled = scaled * run.task.gradient_scale
    scaled.backward()  # type: ignore[no-untyped-call]
    norm = _clip(run, loss)
    run.pending.append((loss, norm, count))
    state.step += 1
    if run.watch_steps:
        run.fetch()  # before the weights change: a gradient that is not finite never reaches them
    run.optimiser.step()
    run.carried = detached(carried)
    state.tokens += count
    done, state.chunk = divmod(state.chunk + 1, run.task.steps_per_epoch)
    state.epoch += done
    state.window.seconds += time.perf_counter() - started


def _clip(run: Run, loss: torch.Tensor) -> torch.Tensor:
    """Clip the gradient; returns the norm it had. One that is not finite must not reach the weights."""
    if run.settings.clip_value:
        clip_grad_value_(run.model.parameters(), run.settings.clip_value)
    limit = run.settings.grad_clip or math.inf
    try:
        return clip_grad_norm_(run.model.parameters(), limit, error_if_nonfinite=run.watch_steps)
    except RuntimeError:
        raise divergence.Diverged(divergence.origin(run.state.step + 1, loss.item(), run.model)) from None


def _validate(run: Run) -> dict[str, float]:
    """Measure the model; keep it when it is the best so far by the main metric."""
    run.fetch()
    state = run.state
    divergence.check_weights(state.step, run.model)
    with averaging.averaged(run.optimiser):
        found = run.task.validate()
        value = main_value(run.task.metrics, found)
        if value is None:
            return {}
        run.validated_step = state.step
        if "loss" in found:
            divergence.check_level(state, found["loss"], run.task)
        better = run.main.is_better(value, state.best)
        if better:
            state.best, state.best_step, state.stale = value, state.step, 0
            run.task.save_model(run.folder.best_model)
        else:
            state.stale += 1
    after_validation(state, better)
    _average(run, value)
    return found


def _average(run: Run, value: float) -> None:
    """Begin to average the weights when validations have stopped getting better."""
    if not isinstance(run.optimiser, averaging.AveragedSGD) or run.optimiser.begun:
        return
    state = run.state
    if averaging.is_due(value, state.validations, run.settings.average_after, run.main):
        run.optimiser.begin()
        run.progress.note(f"step {state.step}: from here on the model is the mean of the weights")
    state.validations.append(value)


def _log(run: Run, found: dict[str, float], looked: dict[str, float | str | None]) -> None:
    run.fetch()
    record = run.record(found) | looked
    divergence.check_level(run.state, record["loss"], run.task)
    run.folder.log(record)
    run.state.lines += 1
    run.state.window = Window()
    run.progress.line(record, seconds_left(run.settings, run.state, run.task.steps_per_epoch))
