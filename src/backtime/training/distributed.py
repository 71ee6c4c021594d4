"""Several processes train one model: each takes its share of every batch, all take the same step.

    torchrun --nproc-per-node N -m backtime train DATA --out FOLDER ...

Gradients are averaged by PyTorch's DistributedDataParallel while the backward pass still runs. A process's
loss is weighted by what it is the mean of, so that the average is the gradient of the whole batch's mean
loss. What decides about the run (when to stop, when to save) is agreed by all; process 0 alone has the run
folder.

Random numbers are drawn anew at each step from the seed, the step and the process: a run that was killed goes
on as if it had not been, whatever a process had drawn. Without dropout the losses are those of one process
within rounding; with it each process drops other units.
"""

from __future__ import annotations

import os
import random
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from backtime.data.batching import share
from backtime.training.carried import tensors_of, with_tensors
from backtime.training.meeting import fresh
from backtime.training.task import Carried, Task

BATCH_AXIS = -2  # of a carried tensor (..., B, H)
PATIENCE = timedelta(minutes=10)  # for the others, before one gives up
Losses = tuple[Tensor, Tensor, Carried, int]


def processes() -> tuple[int, int]:
    """The number of this process and how many there are, as torchrun says it; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def restarted() -> bool:
    """Whether torchrun has started these processes again, after one has failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def start() -> None:
    """Meet the others, if there are any."""
    number, of = processes()
    if of > 1 and not dist.is_initialized():
        store, _, _ = next(rendezvous("env://", number, of, timeout=PATIENCE))
        own = fresh(store, number, of, PATIENCE)
        dist.init_process_group("gloo", store=own, rank=number, world_size=of, timeout=PATIENCE)
        share.take(number, of)


def wait_for_all() -> None:
    """Return when every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def join(task: Task, seed: int) -> Alone:
    """How this process takes part."""
    return Together(task, seed) if dist.is_initialized() else Alone(task)


class Alone:
    """One process, which takes everything."""

    def __init__(self, task: Task) -> None:
        """Nothing is prepared."""
        self.task = task

    def losses(self, epoch: int, step: int, carried: Carried) -> Losses:
        """What to go back from, the mean loss of the whole batch, the state after it, the count."""
        loss, after, count = self.task.loss(epoch, step, carried)
        return loss, loss.detach(), after, count

    def measured(self, epoch: int, step: int, carried: Carried) -> float:
        """The mean loss alone, in whatever mode the model is."""
        with torch.no_grad():
            return self.losses(epoch, step, carried)[1].item()

    def agreed(self, number: int) -> int:
        """The largest of all processes' numbers."""
        return number

    def whole(self, carried: Carried) -> Carried:
        """The carried states of all processes side by side."""
        return carried

    def own(self, carried: Carried) -> Carried:
        """The part of ``whole``'s answer that is this process's."""
        return carried


class Together(Alone):
    """One process of several."""

    def __init__(self, task: Task, seed: int) -> None:
        """All begin with the weights of process 0."""
        super().__init__(task)
        self.seed, (self.number, self.of) = seed, processes()
        self.step = torch.nn.parallel.DistributedDataParallel(_Step(task))

    def losses(self, epoch: int, step: int, carried: Carried) -> Losses:
        """The first is scaled so that the average of all gradients is that of the whole batch's mean."""
        self._draw_anew(epoch, step)
        loss, after, count = self.step(epoch, step, carried)
        weight, total, mean = self._weighed(loss, count)
        return loss * (weight * self.of / total), torch.tensor(mean, dtype=loss.dtype), after, round(total)

    def measured(self, epoch: int, step: int, carried: Carried) -> float:
        """As for one process; the model's own call has no gradients to average."""
        with torch.no_grad():
            loss, _, count = self.task.loss(epoch, step, carried)
        return self._weighed(loss, count)[2]

    def _weighed(self, loss: Tensor, count: int) -> tuple[float, float, float]:
        """What this process's loss counts, what all count together, and the mean over all."""
        weight = 0.0 if share.is_idle() else float(count)
        sums = torch.tensor([weight * float(loss.detach()), weight], dtype=torch.float64)
        dist.all_reduce(sums)
        total = float(sums[1])
        return weight, total, float(sums[0]) / total

    def _draw_anew(self, epoch: int, step: int) -> None:
        words = np.random.SeedSequence([self.seed, epoch, step, self.number]).generate_state(2)
        torch.manual_seed(int(words[0]))
        np.random.seed(words[1])
        random.seed(int(words[1]))

    def agreed(self, number: int) -> int:
        """The largest of all."""
        found = torch.tensor([number])
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def whole(self, carried: Carried) -> Carried:
        """Gathered along the batch."""
        found = []
        for part in tensors_of(carried):
            parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.of)]
            dist.all_gather(parts, part.contiguous())
            found.append(torch.cat(parts, BATCH_AXIS))
        return with_tensors(carried, found)

    def own(self, carried: Carried) -> Carried:
        """This process's columns."""
        chosen = [part.chunk(self.of, BATCH_AXIS)[self.number].contiguous() for part in tensors_of(carried)]
        return with_tensors(carried, chosen)


class _Step(torch.nn.Module):
    """A step of a task as a module: what DistributedDataParallel calls and whose parameters it knows."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model, self.loss_of = task.model, task.loss

    def forward(self, epoch: int, step: int, carried: Carried) -> Any:
        return self.loss_of(epoch, step, carried)
