"""Zaremba's small word LSTM: ``backtime train`` beside a plain PyTorch loop that a user would write.

``python -m benchmarks.word_language TRAIN VALID`` trains both on the same tokens in the same order, from the
same first weights, for ``--epochs`` of the thirteen and with each of ``--seeds``, and prints the perplexity
of the validation file at the end, and the time. ``--share X`` takes the first share of the lines of both.

Before that both sides take ``--checked`` steps in float64: their losses must be equal but for rounding, or
nothing is compared. Steps of rate 1 make rounding grow, a billion times in a hundred steps; so what may
differ is measured, too, by a plain loop whose first weights are nudged by 1e-15: ours may be off by as much
as ten times that makes. How much rounding alone does to the perplexity is what a nudge of a millionth shows.
"""

import argparse
import contextlib
import dataclasses
import gzip
import math
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from backtime.data.batching.streams import Streams, TokenRow
from backtime.data.text.parts import Text
from backtime.tasks.language import KIND, PRESETS, LanguageSettings
from backtime.tasks.runs import make_run
from backtime.training import loop, saving
from backtime.training.progress import choose_progress
from backtime.training.run import Run
from backtime.training.run_folder import RunFolder
from backtime.training.signals import StopSignals
from benchmarks import common
from benchmarks.peers import StockModel

HEAD = ["seed", "torch.nn", "torch.nn, nudged", "backtime", "over torch.nn"]
NUDGE = 1e-6  # relative: some ten units in the last place of a float32
LEAST_NUDGE = 1e-15  # in float64: some units in the last place
AGREED, GROWTH = 1e-13, 10.0  # losses in float64 are equal within this, or within so often what a nudge does


def settings_for(args: argparse.Namespace, seed: int, **changes: Any) -> LanguageSettings:
    chosen = {**PRESETS["zaremba-small"], "epochs": args.epochs, "seed": seed, "threads": args.threads}
    return LanguageSettings(**{**chosen, "validation_fraction": 0.05, **changes})


@contextlib.contextmanager
def begun(data: Text, settings: LanguageSettings, place: Path) -> Iterator[Run]:
    """A run of backtime as the command line begins it."""
    progress = choose_progress(KIND.metrics(settings), True, False)
    with contextlib.closing(RunFolder.create(place)) as folder:
        folder.make_places()
        yield make_run(KIND, data, settings, folder, None, progress, StopSignals())


def train_ours(run: Run) -> list[dict[str, Any]]:
    """Trains to the end; the lines of its log."""
    saving.begin(run)
    loop.train(run)
    return run.folder.metrics()


class Plain:
    """The recipe in PyTorch alone, from the weights that a run begins with."""

    def __init__(self, run: Run, data: Text, nudge: float = 0.0) -> None:
        """Copies of the weights."""
        self.settings: Any = run.settings
        self.data, self.dtype = data, next(run.model.parameters()).dtype
        self.model = StockModel(run.task.model.config).to(self.dtype)
        self.model.load_state_dict(run.model.state_dict())
        with torch.no_grad():
            for weight in self.model.parameters() if nudge else ():
                weight.mul_(1 + nudge * torch.randn_like(weight))
        self.optimiser = torch.optim.SGD(self.model.parameters(), self.settings.rate)
        self.losses: list[float] = []

    def train(self) -> None:
        """All epochs, or as many steps as the run has."""
        own = self.settings
        for epoch in range(own.epochs):
            state, decay = None, own.lr_decay ** max(0, epoch + 1 - own.lr_decay_after)
            self.optimiser.param_groups[0]["lr"] = own.rate * decay
            for x, targets in Streams(self.data.tokens, own.batch_size, own.seq_length):
                if len(self.losses) == own.max_steps:
                    return
                state = self.step(torch.from_numpy(x), torch.from_numpy(targets), state)

    def step(self, x: torch.Tensor, targets: torch.Tensor, state: Any) -> Any:
        """One step; the state after it."""
        self.optimiser.zero_grad()
        loss, state = self.model.loss(x, targets, state)
        (loss * self.settings.seq_length).backward()  # summed over time, as the recipe has it
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        self.optimiser.step()
        self.losses.append(loss.item())
        return tuple(part.detach() for part in state)

    @torch.no_grad()
    def perplexity(self, tokens: TokenRow) -> float:
        """Every token but the first, the state carried from zeros through each stream."""
        sizes = self.settings.batch_size, self.settings.seq_length
        streams, state, total = Streams(tokens, *sizes, exact=True), None, 0.0
        for x, targets in streams:
            own = None if state is None else tuple(part[:, : x.shape[1]].contiguous() for part in state)
            loss, state = self.model.loss(torch.from_numpy(x), torch.from_numpy(targets), own)
            total += loss.item() * targets.size
        return math.exp(total / streams.targets_total)


def check(data: Text, settings: LanguageSettings, steps: int, place: Path) -> float:
    """The largest difference of the losses of both sides in float64; refuses where it is no rounding."""
    rhythm = {"epochs": steps, "max_steps": steps, "log_every": 1, "validate_every": 10**9}
    settings = dataclasses.replace(settings, **rhythm)
    with begun(data, settings, place) as run:
        run.model.double()
        plain, nudged = Plain(run, data), Plain(run, data, LEAST_NUDGE)
        plain.train()
        nudged.train()
        ours = [line["loss"] for line in train_ours(run) if line["loss"] is not None]
    off = np.abs(np.subtract(ours, plain.losses))
    noise = np.maximum.accumulate(np.abs(np.subtract(nudged.losses, plain.losses)))
    broken = np.flatnonzero(~(off <= AGREED + GROWTH * noise))
    if len(broken):
        k = broken[0]
        raise SystemExit(f"the losses of step {k + 1} differ by {off[k]:.1e}; nothing is compared")
    return float(off.max())


def compare(data: Text, settings: LanguageSettings, place: Path) -> tuple[list[float], list[float]]:
    """The perplexities of torch.nn, torch.nn nudged, and backtime after all epochs, and their seconds."""
    found: list[float] = []
    seconds: list[float] = []
    assert data.held_out is not None
    with begun(data, settings, place) as run:
        for side in (Plain(run, data), Plain(run, data, NUDGE)):
            seconds.append(common.once(side.train))
            found.append(side.perplexity(data.held_out))
        seconds.append(common.once(lambda: train_ours(run)))
        lines = run.folder.metrics()
    last = next(line["val_loss"] for line in reversed(lines) if line["val_loss"] is not None)
    return [*found, math.exp(last)], seconds


def first_lines(source: Path, share: float, target: Path) -> Path:
    """The first share of the lines of a text in a file of its own."""
    opened = gzip.open if source.suffix == ".gz" else open
    with opened(source, "rt", encoding="utf-8") as file:
        lines = file.readlines()
    target.write_text("".join(lines[: round(share * len(lines))]), encoding="utf-8")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="so many, from 1 on")
    parser.add_argument("--share", type=float, default=1.0, help="of the lines of both files")
    parser.add_argument("--checked", type=int, default=100, help="steps that must agree in float64")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backtime-") as place:
        report(args, Path(place))


def report(args: argparse.Namespace, place: Path) -> None:
    parts = {name: getattr(args, name) for name in ("train", "valid")}
    texts = {name: first_lines(path, args.share, place / f"{name}.txt") for name, path in parts.items()}
    files = {f"{name}_file": str(path) for name, path in texts.items()}
    settings = settings_for(args, 1, **files)
    data = KIND.prepare(None, settings, place / "tokens", None, print)
    print(data.describe())
    worst = check(data, settings, args.checked, place / "check")
    print(f"float64: the losses of {args.checked} steps are equal within rounding: {worst:.0e}", flush=True)
    found, times = [], []
    for seed in range(1, args.seeds + 1):
        steps = {"validate_every": 10**9, "log_every": 1000}
        own, seconds = compare(data, settings_for(args, seed, **files, **steps), place / f"seed{seed}")
        found.append(own)
        times.append(seconds)
        print(f"seed {seed}: {own} in {[round(s) for s in seconds]} s", flush=True)
    print(common.table(HEAD, rows(found)))
    total = [sum(column) for column in zip(*times, strict=True)]
    print(f"\nseconds of training: torch.nn {total[0]:.0f} and {total[1]:.0f}, backtime {total[2]:.0f}")


def rows(found: list[list[float]]) -> list[list[object]]:
    """A row a seed; then mean and standard deviation."""
    named = [(f"{seed}", own) for seed, own in enumerate(found, 1)]
    columns = list(zip(*[[*own, own[2] / own[0]] for own in found], strict=True))
    lines = [[name, *(f"{value:.2f}" for value in own), f"{own[2] / own[0]:.4f}"] for name, own in named]
    of: list[tuple[str, Any]] = [("mean", statistics.mean), ("deviation", statistics.stdev)]
    for name, function in of if len(found) > 1 else ():
        numbers = [function(column) for column in columns]
        lines.append([name, *(f"{value:.2f}" for value in numbers[:3]), f"{numbers[3]:.4f}"])
    return lines


if __name__ == "__main__":
    main()
