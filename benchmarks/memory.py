"""How much memory training on a big text takes: the peak of ``backtime train`` on a small and on a big one.

Imports no PyTorch: a process's peak begins with that of the process that started it.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import common

BLOCK = 1 << 22  # characters written at once
HEAD = ["text, MB", "peak, MB", "seconds"]
NOTES = """\
Peak resident memory of `backtime train TEXT --max-steps {steps}` (preset demo) in a process of its own, from
counting the symbols to the last save; mapped pages of the token file that are in memory count too."""


def write_text(path: Path, megabytes: int) -> None:
    """A text of random words; one block of it, begun at another place each time."""
    letters = random.Random(1)
    words = [
        "".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=letters.randint(1, 9))) for _ in range(5000)
    ]
    block = " ".join(letters.choices(words, k=BLOCK // 4))[:BLOCK].encode()
    with path.open("wb") as file:
        left = megabytes * 10**6
        while left > 0:
            start = letters.randrange(BLOCK)
            file.write((block[start:] + block[:start])[:left])
            left -= BLOCK


def train(text: Path, out: Path, steps: int, threads: int | None) -> tuple[float, float]:
    """Peak memory in MB and seconds of a training process."""
    command = [sys.executable, "-m", "backtime", "train", str(text), "--preset", "demo", "--quiet"]
    command += ["--max-steps", str(steps), "--validation-fraction", "0", "--out", str(out)]
    command += ["--threads", str(threads)] if threads else []
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the training of {text} failed with status {status}")
    return usage.ru_maxrss * 1024 / 1e6, time.perf_counter() - start  # the kernel counts in KiB


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--megabytes", type=int, default=2000, metavar="N", help="default 2000")
    options.add_argument("--steps", type=int, default=50, metavar="N", help="default 50")
    args = options.parse_args()
    rows = []
    for megabytes in (2, min(args.megabytes, 100) if args.quick else args.megabytes):
        with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
            text = Path(folder) / "text.txt"
            write_text(text, megabytes)
            peak, seconds = train(text, Path(folder) / "run", args.steps, args.threads)
        rows.append([f"{megabytes:,}", f"{peak:,.0f}", f"{seconds:.0f}"])
    common.report("Memory", NOTES.format(steps=args.steps), common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
