"""Models of other libraries before and after ``backtime.accelerate``: the whole training job.

Each side runs in a process of its own, as the library trains by itself; the sides take turns. Before anything
is timed, the first losses and the first gradients of both sides must agree, and those of a model that was
accelerated and restored must be the same bits. The libraries come with the extra ``bench-models``.
"""

import argparse
import contextlib
import json
import statistics
import sys
from typing import Any

from benchmarks import children, common
from benchmarks.real_models import COMPARED, JOBS

SIDES = ("torch", "backtime", "restored")
# Sums in another order: a few roundings of float32 (6e-8 each); 2e-7 of a loss, 3e-7 of a gradient were seen.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-5
HEAD = ["job", "torch s", "backtime s", "ratio", "share of layers", "layers alone", "at most", "calls"]
NOTES = f"""\
Seconds of a unit of the library's own training as it comes, and after `backtime.accelerate(model)`: an
iteration of RecurrentPPO (1,024 steps played, 80 gradient steps), 50 batches of DeepAR, 20 batches of the
tagger. With reset= the policy hands a whole sequence to the layer where it would go step by step; that spares
the policy's own loop too, so the job may pass its limit. Share of layers: the part of torch's time
spent inside the recurrent layers, forward and backward. Layers alone:
torch's seconds there over backtime's. At most: the ratio that layers without any cost would give. Calls: of
recurrent layers in a unit, torch's side. The share and what follows it are from runs of their own, in which
the layers are watched. Before timing, the first {COMPARED} losses agreed within {LOSS_TOLERANCE:.0e} of their
value, the gradients of the first step within {GRADIENT_TOLERANCE:.0e} of the largest length; after
`backtime.restore(model)` both were the same bits as torch's."""


def check(name: str, sides: dict[str, dict[str, Any]]) -> None:
    """Refuse to time a side whose losses or gradients differ, and a model that is not quite restored."""
    peer = sides["torch"]
    loss, gradient = differences(sides["backtime"], peer)
    if not (loss <= LOSS_TOLERANCE and gradient <= GRADIENT_TOLERANCE):
        raise SystemExit(
            f"{name}: backtime and torch differ, losses by {loss:.0e}, gradients by {gradient:.0e}; "
            "nothing is timed"
        )
    if any(sides["restored"][key] != peer[key] for key in ("losses", "gradients")):
        raise SystemExit(f"{name}: the restored model does not train as before; nothing is timed")


def differences(found: dict[str, Any], peer: dict[str, Any]) -> tuple[float, float]:
    """The largest relative to the loss, and to the length of the gradient."""
    loss = max(abs(a - b) / abs(b) for a, b in zip(found["losses"], peer["losses"], strict=True))
    whole = max(b[0] for b in peer["gradients"])
    pairs = zip(found["gradients"], peer["gradients"], strict=True)
    return loss, max(max(abs(a[0] - b[0]), abs(a[1] - b[1])) / whole for a, b in pairs)


def run(name: str, side: str, kind: str, units: int, threads: int | None) -> Any:
    words = ["--work", name, "--side", side, "--kind", kind, "--units", str(units)]
    return children.run("accelerate", words, threads)


def measure(name: str, rounds: int, seconds: float, threads: int | None) -> list[object]:
    """The row of a job, after its sides were found to agree."""
    sides = {side: run(name, side, "compare", 1, threads) for side in SIDES}
    check(name, sides)
    units = max(2, round(seconds / rounds / sides["torch"]["seconds"]))
    print(f"{name}: {sides['backtime']['report']}", file=sys.stderr)
    found: dict[str, list[float]] = {side: [] for side in SIDES[:2]}
    for _ in range(rounds):
        for side in found:
            found[side].append(run(name, side, "time", units, threads)["seconds"])
    before, after = (statistics.median(found[side]) for side in found)
    layers = [run(name, side, "inside", units, threads) for side in found]
    return row(name, before, after, *layers)


def row(
    name: str, before: float, after: float, torch: dict[str, float], ours: dict[str, float]
) -> list[object]:
    """Seconds of a unit of both sides, and what was seen inside."""
    inside, fewer = (side["forward"] + side["backward"] for side in (torch, ours))
    share = inside / before
    cells = [name, f"{before:.2f}", f"{after:.2f}", f"{before / after:.2f}", f"{share:.0%}"]
    return [*cells, f"{inside / fewer:.2f}", f"{1 / (1 - share):.2f}", f"{torch['calls']:,.0f}"]


def work(args: argparse.Namespace) -> Any:
    """What a process of one side does."""
    common.use_threads(args.threads)
    with contextlib.redirect_stdout(sys.stderr):  # the libraries talk
        from benchmarks import real_runs

        if args.kind == "compare":
            return real_runs.compared(args.work, args.side)
        return real_runs.timed(args.work, args.side, args.units, args.kind == "inside")


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--models", metavar="TEXT", default="", help="only jobs whose name contains this")
    for name in ("--work", "--side", "--kind"):  # what the processes are told
        options.add_argument(name, help=argparse.SUPPRESS)
    options.add_argument("--units", type=int, help=argparse.SUPPRESS)
    args = options.parse_args()
    if args.work:
        print(json.dumps(work(args)))
        return
    chosen = [name for name in JOBS if args.models in name]
    if lacking := sorted({JOBS[name].package for name in chosen if not JOBS[name].installed()}):
        print(f"not installed: {', '.join(lacking)}; pip install -e '.[bench-models]'", file=sys.stderr)
        raise SystemExit(2)
    seconds = (3.0 if args.quick else 20.0) if args.seconds is None else args.seconds
    rows = []
    for name in chosen:
        rows.append(measure(name, 1 if args.quick else 3, seconds, args.threads))
        print(*rows[-1], file=sys.stderr)
    versions = ", ".join(dict.fromkeys(JOBS[name].version() for name in chosen))
    common.report("Models of others", f"{NOTES} {versions}.", common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
