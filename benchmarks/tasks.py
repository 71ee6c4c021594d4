"""Training of every task on backtime's layers and on those of `torch.nn`, in the same trainer.

``python -m benchmarks.tasks`` writes data of each task, makes `backtime train` begin on them in processes
that take turns, and times its steps. ``--layers-from torch`` puts the layers of `torch.nn`, with the same
weights, into the task's network; all around it, from reading to the optimiser, is the same. The losses of the
first steps are compared before anything is timed. ``--tasks`` chooses some.
"""

import argparse
import contextlib
import functools
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from backtime import tasks
from backtime.cli.main import main as backtime
from backtime.nn.accelerate import restore
from backtime.tasks import runs
from benchmarks import children, common
from benchmarks.task_data import JOBS

SIDES = ("torch", "backtime")
COMPARED = 5  # steps whose losses must agree
# Roundings of float32 in sums of another order, grown by the first steps of Adam: at most 3e-6 was seen, but
# 5e-5 of CTC's loss.
TOLERANCE = 1e-4
HEAD = ["task", "on torch.nn", "on backtime", "torch/ours", "fastest step"]
NOTES = """\
Median milliseconds of a step of `backtime train` in processes that took turns: loss, backward, clipping,
optimiser. Generated data, the task's own sizes but for what stands beside it. Losses of the first {compared}
steps agreed to {tolerance:.0e} before. The last column compares the fastest steps."""


class EnoughError(Exception):
    """Ends the training."""


def to_torch(model: Any) -> None:
    """The layers of ``torch.nn``, with the same weights; ``lengths=`` by a packed sequence, as users do."""
    restore(model, everything=True)
    for layer in model.modules():
        if isinstance(layer, torch.nn.RNNBase):
            layer.forward = functools.partial(_with_lengths, layer, layer.forward)


def _with_lengths(layer: Any, forward: Any, x: Any, state: Any = None, lengths: Any = None) -> Any:
    if lengths is None:
        return forward(x, state)
    packed = pack_padded_sequence(x, torch.as_tensor(lengths), layer.batch_first, enforce_sorted=False)
    y, last = forward(packed, state)
    return pad_packed_sequence(y, layer.batch_first, total_length=x.shape[layer.batch_first])[0], last


def train(name: str, side: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Losses and seconds of the steps of ``backtime train``, for so many seconds after the compared steps."""
    kind, job = tasks.find(name), JOBS[name]
    build, losses, stamps = kind.build, [], []

    def built(*arguments: Any) -> Any:
        task = build(*arguments)
        if side == "torch":
            to_torch(task.model)
        inner = task.loss

        def loss(*position: Any) -> Any:
            stamps.append(time.perf_counter())
            if len(stamps) > COMPARED + 2 and stamps[-1] - stamps[COMPARED] > seconds:
                raise EnoughError
            found = inner(*position)
            if len(losses) < COMPARED:
                losses.append(float(found[0].detach()))
            return found

        task.loss = loss
        return task

    words = ["train", str(folder / job.file), "--task", name, *job.options.split(), "--quiet"]
    words += ["--out", str(folder / f"run-{side}"), "--epochs", "10000", "--validation-fraction", "0"]
    changed = mock.patch.object(kind, "build", built), mock.patch.object(runs, "draw_curves")
    with changed[0], changed[1], contextlib.suppress(EnoughError):
        backtime(words)
    steps = [later - earlier for earlier, later in itertools.pairwise(stamps[COMPARED:])]
    return {"losses": losses, "median": statistics.median(steps), "least": min(steps)}


def work(name: str, side: str, seconds: float) -> dict[str, Any]:
    """What a process does: the data and the training in a folder that goes away."""
    with tempfile.TemporaryDirectory() as place:
        JOBS[name].write(Path(place) / JOBS[name].file)
        return train(name, side, Path(place), seconds)


def measure(name: str, seconds: float, rounds: int) -> list[str]:
    """A line of the table, after the sides were found to train the same."""
    found: dict[str, list[Any]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES:
            words = ["--work", name, "--layers-from", side, "--seconds", str(seconds)]
            found[side].append(children.run("tasks", words))
        if number == 0:
            expected, losses = (found[side][0]["losses"] for side in SIDES)
            common.agree(f"{name}: losses", [losses], [expected], TOLERANCE)
    theirs, ours = (statistics.median(one["median"] for one in found[side]) for side in SIDES)
    least = [min(one["least"] for one in found[side]) for side in SIDES]
    told = f"{name} `{JOBS[name].options}`" if JOBS[name].options else name
    return [told, common.ms(theirs), common.ms(ours), f"{theirs / ours:.2f}", f"{least[0] / least[1]:.2f}"]


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--tasks", nargs="+", choices=JOBS, default=list(JOBS), help="only these")
    options.add_argument("--layers-from", choices=SIDES, help="with --work: of which library")
    options.add_argument("--work", choices=JOBS, help=argparse.SUPPRESS)  # what the processes are told
    args = options.parse_args()
    seconds = (1.0 if args.quick else 5.0) if args.seconds is None else args.seconds
    if args.work:
        print(json.dumps(work(args.work, args.layers_from or "backtime", seconds)))
        return
    rows = []
    for name in args.tasks:
        rows.append(measure(name, seconds, 1 if args.quick else 3))
        print(*rows[-1], file=sys.stderr, flush=True)
    notes = NOTES.format(compared=COMPARED, tolerance=TOLERANCE)
    common.report("Training of every task", notes, common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
