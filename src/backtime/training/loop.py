"""Truncated backpropagation through time, step after step, with what is due in between.

The hidden state is carried from chunk to chunk and zeroed at the start of each epoch. All that decides
about the arithmetic is in ``RunState``, the weights, the optimiser, the carried state and the random
states; the clock decides only when to stop. That is why a resume can be exact.
"""

import math
import time

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from backtime.training import divergence, saving
from backtime.training.metrics import Record, make_record, seconds_left
from backtime.training.optimisers import make_optimiser, set_rate
from backtime.training.progress import Progress
from backtime.training.run_folder import RunFolder
from backtime.training.schedule import after_validation, learning_rate
from backtime.training.settings import Settings
from backtime.training.signals import StopSignals
from backtime.training.state import RunState, Window
from backtime.training.task import Carried, Task, detached

LONGEST_WAIT = 1000  # steps without a validation, where --validate-every does not say otherwise


class Trainer:
    """One run. Call ``saving.begin`` or ``saving.resume`` with it, then ``run``."""

    def __init__(
        self, task: Task, settings: Settings, folder: RunFolder, progress: Progress, signals: StopSignals
    ) -> None:
        """Everything at its start; the first save is still to be made."""
        self.task, self.model, self.settings = task, task.model, settings
        self.folder, self.progress, self.signals = folder, progress, signals
        self.optimiser = make_optimiser(task.model.parameters(), settings)
        self.state = RunState(horizon=settings.epochs)
        self.carried: Carried = task.initial_state()
        self.validate_every = settings.validate_every or min(task.steps_per_epoch, LONGEST_WAIT)
        self.save_every = settings.save_every or self.validate_every
        self.saved_step = self.validated_step = -1
        self.clock = time.perf_counter()
        # on a CPU asking for a number costs nothing; another device would be waited for: ask once a log line
        self.watch_steps = next(task.model.parameters()).device.type == "cpu"
        self.pending: list[
            tuple[torch.Tensor, torch.Tensor]
        ] = []  # loss and gradient norm, not yet asked for

    @np.errstate(over="ignore", invalid="ignore")  # ``divergence`` looks for what is not finite, and tells
    def run(self) -> str:
        """Train until something says stop, save, and return what."""
        self.signals.patient = True
        self.clock = time.perf_counter()
        while True:
            try:
                reason = self.reason_to_stop()
                if not reason:
                    self._advance()
                    continue
                if self.saved_step != self.state.step:
                    saving.save(self)
                break
            except divergence.Diverged as fault:
                saving.roll_back(self, fault)
        if self.validated_step != self.state.step:
            saving.close(self, reason)
        return reason

    def reason_to_stop(self) -> str:
        """Interrupt, epochs, max-steps, minutes or patience; empty while the run goes on."""
        state, settings = self.state, self.settings
        reached = {
            "interrupt": self.signals.received is not None,
            "epochs": state.epoch >= settings.epochs,
            "max-steps": settings.max_steps is not None and state.step >= settings.max_steps,
            "minutes": settings.minutes is not None and state.seconds >= 60 * settings.minutes,
            "patience": settings.patience is not None and state.stale >= settings.patience,
        }
        return next((reason for reason, stop in reached.items() if stop), "")

    def tick(self) -> None:
        """Add the time since the last call to the run's."""
        now = time.perf_counter()
        self.state.seconds += now - self.clock
        self.clock = now

    def _advance(self) -> None:
        """One step, and whatever is due after it."""
        self._step()
        step, val_loss = self.state.step, None
        if due := step % self.validate_every == 0:
            val_loss = self._validate()
        if due or step % self.settings.log_every == 0:
            self._log(val_loss)
        if step % self.save_every == 0:
            saving.save(self)
        self.tick()
        self.progress.step(step)

    def _step(self) -> None:
        state, started = self.state, time.perf_counter()
        if state.chunk == 0:
            self.carried = self.task.initial_state()
        set_rate(self.optimiser, learning_rate(self.settings, state, self.task.steps_per_epoch))
        self.model.train()
        self.optimiser.zero_grad()
        loss, carried = self.task.loss(state.chunk, self.carried)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self._clip(loss)
        self.pending.append((loss.detach(), norm))
        state.step += 1
        if self.watch_steps:
            self.fetch()  # before the weights change: a gradient that is not finite never reaches them
        self.optimiser.step()
        self.carried = detached(carried)
        state.tokens += self.task.tokens_per_step
        done, state.chunk = divmod(state.chunk + 1, self.task.steps_per_epoch)
        state.epoch += done
        state.window.seconds += time.perf_counter() - started

    def _clip(self, loss: torch.Tensor) -> torch.Tensor:
        """Clip the gradient; returns the norm it had. One that is not finite must not reach the weights."""
        limit = self.settings.grad_clip or math.inf
        try:
            return clip_grad_norm_(self.model.parameters(), limit, error_if_nonfinite=self.watch_steps)
        except RuntimeError:
            raise divergence.Diverged(
                divergence.origin(self.state.step + 1, loss.item(), self.model)
            ) from None

    def fetch(self) -> None:
        """Take the pending losses and norms into the window; raises ``Diverged`` when one is not finite."""
        if not self.pending:
            return
        losses, norms = (torch.stack(column).tolist() for column in zip(*self.pending, strict=True))
        first = self.state.step - len(self.pending) + 1
        self.pending = []
        for step, (loss, norm) in enumerate(zip(losses, norms, strict=True), first):
            divergence.check_step(step, loss, norm, self.model)
            self.state.window.add(loss, norm, clipped=0 < self.settings.grad_clip < norm)

    def _validate(self) -> float | None:
        self.fetch()
        divergence.check_weights(self.state.step, self.model)
        loss, state = self.task.validate(), self.state
        self.validated_step = state.step
        if loss is None:
            return None
        divergence.check_level(state, loss, self.model)
        better = state.best_loss is None or loss < state.best_loss
        if better:
            state.best_loss, state.best_step, state.stale = loss, state.step, 0
            self.task.save_model(self.folder.best_model)
        else:
            state.stale += 1
        after_validation(state, better)
        return loss

    def _log(self, val_loss: float | None) -> None:
        self.fetch()
        record = self.record(val_loss)
        divergence.check_level(self.state, record["loss"], self.model)
        self.folder.log(record)
        self.state.lines += 1
        self.state.window = Window()
        self.progress.line(record, seconds_left(self.settings, self.state, self.task.steps_per_epoch))

    def record(self, val_loss: float | None) -> Record:
        """A line of metrics.jsonl about the steps since the last one."""
        self.tick()
        return make_record(self.state, self.task, self.optimiser.param_groups[0]["lr"], val_loss)
