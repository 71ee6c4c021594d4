"""A problem as a file that ``backtime train`` reads: what the bench draws anew each step, written down once.

adding          CSV for ``--task forecast``: a series for each sequence, of columns step, sequence, number,
                mark and sum. The sum is what the step after the last one is to be; before that it is 0.
order, parity   NPZ for ``--task classify``: x (N, T, I) and the labels y (N,), ``XX`` or ``odd``
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.long_dependencies.problems import PAIRS, Drawn, Problem

DELAY, COUNT, MOST = 100, 2000, 10_000_000  # rows at most: a slip, not a wish
LABELS = {"order": PAIRS, "parity": ("even", "odd")}
ENDINGS = {"adding": ".csv", **dict.fromkeys(LABELS, ".npz")}


def write(problem: Problem, target: Path, delay: int, count: int, seed: int) -> None:
    """Write ``count`` sequences; raises ``UsageError`` naming the option that does not fit."""
    ending = ENDINGS.get(problem.name)
    if ending is None:
        raise UsageError(
            f"--write with --task {problem.name}: train has no task for it; expected {', '.join(ENDINGS)}"
        )
    if target.suffix.lower() != ending:
        raise UsageError(f"--write is {target}; expected a name that ends in {ending} with {problem.name}")
    if delay < problem.least:
        raise UsageError(f"--delay is {delay}; expected {problem.least} or more with --task {problem.name}")
    if count < 1 or delay * count > MOST:
        raise UsageError(f"--count is {count}; expected 1 to {MOST // delay:,} sequences of --delay {delay}")
    drawn = problem.draw(delay, count, np.random.default_rng(seed))
    with atomic_write(target) as file:
        if problem.name == "adding":
            file.writelines(line.encode() for line in _table(drawn))
        else:
            labels = np.array(LABELS[problem.name])[drawn.y[0]]
            np.savez_compressed(file, x=drawn.x.swapaxes(0, 1), y=labels)


def _table(drawn: Drawn) -> Iterator[str]:
    """The lines of the adding problem; the last step of each sequence has the sum alone."""
    yield "step,sequence,number,mark,sum\n"
    for sequence, (steps, total) in enumerate(zip(drawn.x.swapaxes(0, 1), drawn.y[0], strict=True)):
        for step, (number, mark) in enumerate(steps):
            yield f"{step},{sequence},{number:.6f},{mark:.0f},0\n"
        yield f"{len(steps)},{sequence},0,0,{total:.6f}\n"
