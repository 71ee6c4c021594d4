"""The most that the cores give: multiply-adds on registers, float32, on the engine's instruction set."""

from concurrent.futures import ThreadPoolExecutor

from backtime import kernels
from benchmarks import common

RUN = 20  # milliseconds: long enough for the clock, short enough that some run is disturbed by nothing
HEAD = ["threads", "GFLOP/s"]
NOTES = """\
Chains of float32 multiply-adds that stay in registers and do not wait for one another, on {isa}; best of many
runs of {run} ms on so many threads at once. A multiply-add counts two."""


def peak_gflops(threads: int, seconds: float = 2.0) -> float:
    """The best sum of ``threads`` threads that run at the same time."""
    if not kernels.available():
        raise SystemExit(f"the engine is missing: {kernels.engine_info()['why']}")
    from backtime import _engine

    best = 0.0
    with ThreadPoolExecutor(threads) as team:
        for _ in range(max(5, round(seconds * 1000 / RUN))):
            best = max(best, sum(team.map(_engine.fma_peak, [RUN] * threads)))
    return best / 1e9


def main() -> None:
    args = common.parser(__doc__).parse_args()
    counts = (args.threads,) if args.threads else common.thread_counts()
    seconds = args.seconds or (0.2 if args.quick else 2.0)
    rows = [[n, f"{peak_gflops(n, seconds):.0f}"] for n in counts]
    notes = NOTES.format(isa=kernels.engine_info()["isa"], run=RUN)
    common.report("Peak", notes, common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
