"""A run: its task and settings, where it stands, and what is counted on the way. ``loop`` moves it on."""

import time

import torch

from backtime.training import distributed, divergence
from backtime.training.optimisers import make_optimiser
from backtime.training.progress import Progress
from backtime.training.record import Record, make_record
from backtime.training.run_folder import RunFolder
from backtime.training.settings import Settings
from backtime.training.signals import StopSignals
from backtime.training.state import RunState
from backtime.training.task import Carried, Task

LONGEST_WAIT = 1000  # steps without a validation, where --validate-every does not say otherwise


class Run:
    """One run. ``saving.begin`` or ``saving.resume`` takes it up, ``loop.train`` moves it on.

    All that decides about the arithmetic is in ``state``, the weights, the optimiser, ``carried`` and the
    random states; the clock decides only when to stop. That is why a resume can be exact.
    """

    def __init__(
        self, task: Task, settings: Settings, folder: RunFolder, progress: Progress, signals: StopSignals
    ) -> None:
        """Everything at its start; the first save is still to be made."""
        self.task, self.model, self.settings = task, task.model, settings
        self.folder, self.progress, self.signals = folder, progress, signals
        self.main = task.metrics[0]
        progress.metrics = task.metrics  # it was there before the data said what is measured
        self.group = distributed.join(task, settings.seed)
        self.optimiser = make_optimiser(task.model.parameters(), settings)
        self.state = RunState(horizon=settings.epochs)
        self.carried: Carried = task.initial_state()
        self.validate_every = settings.validate_every or min(task.steps_per_epoch, LONGEST_WAIT)
        self.save_every = settings.save_every or self.validate_every
        self.saved_step = self.validated_step = -1
        self.saved_seconds = 0.0  # ``state.seconds`` at the last save
        self.clock = time.perf_counter()
        # on a CPU asking for a number costs nothing; another device would be waited for: ask once a log line
        self.watch_steps = next(task.model.parameters()).device.type == "cpu"
        self.looked: dict[str, float | str | None] = {}  # the last look at the gradient through time
        # loss, gradient norm and count of steps that were not yet asked for their numbers
        self.pending: list[tuple[torch.Tensor, torch.Tensor, int]] = []

    def save_is_due(self) -> bool:
        """By steps, or because so many minutes have passed."""
        most = self.settings.save_minutes
        late = most > 0 and self.state.seconds - self.saved_seconds >= 60 * most
        return bool(self.group.agreed(late or self.state.step % self.save_every == 0))

    def tick(self) -> None:
        """Add the time since the last call to the run's."""
        now = time.perf_counter()
        self.state.seconds += now - self.clock
        self.clock = now

    def fetch(self) -> None:
        """Take the pending losses and norms into the window; raises ``Diverged`` when one is not finite."""
        if not self.pending:
            return
        losses, norms, counts = zip(*self.pending, strict=True)
        numbers = zip(torch.stack(losses).tolist(), torch.stack(norms).tolist(), counts, strict=True)
        first = self.state.step - len(self.pending) + 1
        self.pending = []
        for step, (loss, norm, count) in enumerate(numbers, first):
            divergence.check_step(step, loss, norm, self.model)
            self.state.window.add(loss, count, norm, clipped=0 < self.settings.grad_clip < norm)

    def look(self) -> dict[str, float | str | None]:
        """A look at the gradient through time; empty where a weight is not finite."""
        if not all(torch.isfinite(p).all() for p in self.model.parameters()):
            return {}
        self.looked = self.task.look(self.state.epoch, self.state.chunk)
        return self.looked

    def verdict(self) -> str:
        """The one line about the gradient through time that ends a message; empty where nothing is known."""
        line = (self.look() or self.looked).get("flow_verdict")
        return f"; gradient through time: {line}" if line else ""

    def record(self, found: dict[str, float]) -> Record:
        """A line of metrics.jsonl about the steps since the last one; ``found`` is a validation, or empty."""
        self.tick()
        return make_record(self.state, self.task, self.optimiser.param_groups[0]["lr"], found)
