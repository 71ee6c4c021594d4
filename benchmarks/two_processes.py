"""A training loop in two processes at once, beside one that has the machine to itself.

``python -m benchmarks.two_processes``: each process runs benchmarks/user_loop.py with nothing set, and takes
all the cores that there are. Two of them have half each: a step takes twice as long where nothing is lost.
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
SIDES = ("torch", "backtime")
HEAD = ["B,T,H,layers,V", *(f"{side} {what}" for side in SIDES for what in ("alone", "two", "two/alone"))]
NOTES = """\
Median milliseconds of a whole step, alone and in each of two processes at once; medians of {rounds} rounds
that take turns. 2.00 in the third column of a side: nothing is lost."""


def together(library: str, point: Point, seconds: float, count: int) -> float:
    """Median milliseconds of a step in ``count`` processes at once."""
    words = [
        sys.executable,
        "-m",
        "benchmarks.user_loop",
        library,
        *map(str, point),
        "--seconds",
        str(seconds),
    ]
    begun = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    found = [json.loads(process.communicate()[0]) for process in begun]
    return statistics.fmean(one["ms"] for one in found)


def row(point: Point, times: dict[tuple[str, int], list[float]]) -> list[Any]:
    """A line of the table."""
    line: list[Any] = [f"{point.cell.lower()} {','.join(map(str, point[1:6]))}"]
    for side in SIDES:
        alone, two = (statistics.median(times[side, count]) for count in (1, 2))
        line += [common.ms(alone / 1e3), common.ms(two / 1e3), f"{two / alone:.2f}"]
    return line


def main() -> None:
    args = common.parser(__doc__).parse_args()
    rounds, seconds = (1, 1.0) if args.quick else (3, args.seconds or 3.0)
    rows = []
    for point in POINTS:
        times: dict[tuple[str, int], list[float]] = {(side, count): [] for side in SIDES for count in (1, 2)}
        for _ in range(rounds):
            for side, count in times:
                times[side, count].append(together(side, point, seconds, count))
        rows.append(row(point, times))
        print(*rows[-1], file=sys.stderr, flush=True)
    common.report(
        "Two training loops at once", NOTES.format(rounds=rounds), common.table(HEAD, rows), args.write
    )


if __name__ == "__main__":
    main()
