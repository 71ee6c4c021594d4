"""Whole training steps against the same model in stock PyTorch: tokens a second.

Each side runs in a process of its own, the processes take turns, and all run the same loop: loss, backward,
clipping at 5, Adam, the state carried on. Sides: ``torch`` (torch.nn with torch.optim.Adam as it comes),
``torch fused`` (the same with ``fused=True``), ``backtime`` (LanguageModel with fused Adam, as in training).
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

import numpy as np

from benchmarks import common

SIDES = ("torch", "torch fused", "backtime")
COMPARED = 20  # steps whose losses must agree before anything is timed
# Sums in another order: a few roundings of float32 (6e-8 each), amplified by twenty steps; 4e-7 of a loss and
# 3e-6 of a gradient's length were seen. Adam forgives a gradient of wrong length: losses alone would not do.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 5e-5
HEAD = ["job", "torch", "torch fused", "backtime", "over torch", "over fused", "target over torch"]
NOTES = f"""\
Tokens a second; medians over processes that take turns. Adam 2e-3, gradient norm clipped at 5, state carried.
char: V = 65, two layers, B = T = 50, one-hot input, which torch.nn is given by a look-up in an identity
matrix: the same parameters on both sides. word: V = 10,000, embedding 200, LSTM 2 x 200, B = T = 20.
Before timing, the losses of the first {COMPARED} steps from the same weights agreed within
{LOSS_TOLERANCE:.0e} of their value, the gradients of the first within {GRADIENT_TOLERANCE:.0e} of their
length."""


class Job(NamedTuple):
    """A model and the shape of its batches."""

    cell: str
    hidden_size: int
    vocabulary_size: int = 65
    embedding_size: int = 0
    side_length: int = 50  # B = T
    target: float = 0.0  # over torch


JOBS = {
    "char lstm 2 x 128": Job("lstm", 128, target=2.0),
    "char gru 2 x 128": Job("gru", 128, target=3.0),
    "char rnn 2 x 128": Job("rnn", 128, target=2.5),
    "char lstm 2 x 512": Job("lstm", 512, target=1.3),
    "char gru 2 x 512": Job("gru", 512, target=2.5),
    "char rnn 2 x 512": Job("rnn", 512, target=2.0),
    "word lstm 2 x 200": Job("lstm", 200, 10_000, 200, 20, target=1.8),
}


def work(job: Job, side: str, seconds: float, threads: int | None) -> dict[str, Any]:
    """What a process of one side does: the compared steps, then steps for so many seconds."""
    import torch

    from backtime.models import LanguageConfig, LanguageModel
    from benchmarks.peers import StockModel, train_step

    common.use_threads(threads)
    config = LanguageConfig(job.cell, job.hidden_size, 2, job.vocabulary_size, job.embedding_size)
    torch.manual_seed(1)
    model = LanguageModel(config) if side == "backtime" else StockModel(config)
    adam = torch.optim.Adam(model.parameters(), lr=2e-3, fused=None if side == "torch" else True)
    chunks = _chunks(job)
    losses, state = [], None
    for step in range(COMPARED):
        loss, state = train_step(model, adam, *chunks[step], state)
        losses.append(loss)
        if step == 0:
            gradients = [_fingerprint(p.grad) for p in model.parameters()]
    steps, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        loss, state = train_step(model, adam, *chunks[steps % len(chunks)], state)
        steps += 1
    speed = steps * job.side_length**2 / spent
    return {"losses": losses, "gradients": gradients, "tokens_per_second": speed}


def _fingerprint(gradient: Any) -> tuple[float, float]:
    """Length, and length of the shadow on a random direction: hardly a fault leaves both as they were."""
    g = gradient.double().numpy().ravel()
    return float(np.linalg.norm(g)), float(g @ np.random.default_rng(1).standard_normal(g.size))


def _chunks(job: Job) -> list[Any]:
    """Inputs and targets (T, B): a random text, its symbols as unevenly frequent as those of a language."""
    import torch

    n, N = job.side_length, 50
    frequency = 1 / np.arange(1, job.vocabulary_size + 1)
    random = np.random.default_rng(1)
    text = random.choice(job.vocabulary_size, (N * n + 1, n), p=frequency / frequency.sum())
    tokens = torch.from_numpy(text.astype(np.int64))
    return [(tokens[k * n : k * n + n], tokens[k * n + 1 : k * n + n + 1]) for k in range(N)]


def run_process(name: str, side: str, seconds: float, threads: int | None) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.training_jobs", "--work", name, "--side", side]
    command += ["--seconds", str(seconds), *(["--threads", str(threads)] if threads else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure(name: str, seconds: float, rounds: int, threads: int | None) -> dict[str, float]:
    """Median tokens a second of each side, after their losses were found to agree."""
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    check(name, {side: run_process(name, side, 0, threads) for side in SIDES})
    for _ in range(rounds):
        for side in SIDES:
            found[side].append(run_process(name, side, seconds, threads)["tokens_per_second"])
    return {side: statistics.median(values) for side, values in found.items()}


def check(name: str, sides: dict[str, dict[str, Any]]) -> None:
    """Refuse to time sides whose losses or gradients differ."""
    peer = sides["torch"]
    for side in SIDES[1:]:
        loss = max(abs(a - b) / b for a, b in zip(sides[side]["losses"], peer["losses"], strict=True))
        pairs = zip(sides[side]["gradients"], peer["gradients"], strict=True)
        gradient = max(max(abs(a[0] - b[0]), abs(a[1] - b[1])) / b[0] for a, b in pairs)
        if not (loss <= LOSS_TOLERANCE and gradient <= GRADIENT_TOLERANCE):
            raise SystemExit(
                f"{name}: {side} and torch differ, losses by {loss:.0e}, gradients by {gradient:.0e}; "
                "nothing is timed"
            )


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--jobs", metavar="TEXT", default="", help="only jobs whose name contains this")
    options.add_argument("--work", choices=JOBS, help=argparse.SUPPRESS)  # what the processes are told
    options.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = options.parse_args()
    seconds = (1.0 if args.quick else 6.0) if args.seconds is None else args.seconds
    if args.work:
        print(json.dumps(work(JOBS[args.work], args.side, seconds, args.threads)))
        return
    rows = []
    for name in (name for name in JOBS if args.jobs in name):
        speed = measure(name, seconds, 1 if args.quick else 3, args.threads)
        ratios = [speed["backtime"] / speed[side] for side in SIDES[:2]]
        rows.append([name, *(f"{speed[side]:,.0f}" for side in SIDES), *(f"{r:.2f}" for r in ratios)])
        rows[-1].append(f"{JOBS[name].target:g}")
        print(*rows[-1], file=sys.stderr)
    common.report("Training jobs", NOTES, common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
