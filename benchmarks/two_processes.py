"""Passes of a layer, and a training loop, in two processes at once, beside one that has the machine alone.

``python -m benchmarks.two_processes``: each process has nothing set, and takes all the cores that there are.
Two of them have half each: a step takes twice as long where nothing is lost.
"""

import json
import statistics
import subprocess
import sys
from typing import Any

from benchmarks import common
from benchmarks.user_loop import Point

POINTS = [
    Point("LSTM", 24, 60, 96, 1, 65),
    Point("LSTM", 32, 35, 256, 1, 2000),
    Point("GRU", 24, 60, 96, 1, 65),
    Point("GRU", 20, 35, 512, 1, 65),
    Point("RNN", 16, 50, 64, 2, 65),
]
PASSES = ("torch passes", "backtime passes", "engine")
LOOPS = ("torch", "backtime")
TURNS = """\
Median milliseconds of a step, alone and in each of two processes at once; medians of {rounds} rounds that
take turns. Where nothing is lost the third column of a side is 2.00. """
NOTES = {
    PASSES: TURNS
    + """\
A layer's forward and backward pass, no other operation; `engine`: in a process
without PyTorch, on the engine's own team; the others on PyTorch's threads.""",
    LOOPS: TURNS
    + """\
The whole loop. PyTorch's own operations wait for their threads by
looking out, whichever layer is between them: two processes take turns, or keep each other waiting at every
operation. Which it is changes from run to run.""",
}


def program(side: str, point: Point) -> list[str]:
    """The module that runs that side, and its arguments."""
    words = [*map(str, point)]
    if side == "engine":
        return ["benchmarks.engine_passes", *words]
    library, *passes = side.split()
    return ["benchmarks.user_loop", library, *words, *["--layer-alone"][: len(passes)]]


def together(side: str, point: Point, seconds: float, count: int) -> float:
    """Median milliseconds of a step in ``count`` processes at once."""
    words = [sys.executable, "-m", *program(side, point), "--seconds", str(seconds)]
    begun = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    found = [json.loads(process.communicate()[0]) for process in begun]
    return statistics.fmean(one["ms"] for one in found)


def row(sides: tuple[str, ...], point: Point, rounds: int, seconds: float) -> list[Any]:
    """A line of the table: the sides take turns."""
    times: dict[tuple[str, int], list[float]] = {(side, count): [] for side in sides for count in (1, 2)}
    for _ in range(rounds):
        for side, count in times:
            times[side, count].append(together(side, point, seconds, count))
    line: list[Any] = [f"{point.cell.lower()} {','.join(map(str, point[1:6]))}"]
    for side in sides:
        alone, two = (statistics.median(times[side, count]) for count in (1, 2))
        line += [common.ms(alone / 1e3), common.ms(two / 1e3), f"{two / alone:.2f}"]
    print(*line, file=sys.stderr, flush=True)
    return line


def main() -> None:
    args = common.parser(__doc__).parse_args()
    rounds, seconds = (1, 1.0) if args.quick else (3, args.seconds or 3.0)
    for title, sides in (("passes of a layer", PASSES), ("training loops", LOOPS)):
        head = ["B,T,H,layers,V", *(f"{side} {what}" for side in sides for what in ("alone", "two", "ratio"))]
        rows = [row(sides, point, rounds, seconds) for point in POINTS]
        notes = NOTES[sides].format(rounds=rounds)
        common.report(f"Two processes at once: {title}", notes, common.table(head, rows), args.write)


if __name__ == "__main__":
    main()
