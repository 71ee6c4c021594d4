"""``backtime bench memory``: how far back cells and remedies remember; see docs/long-dependencies.md."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from backtime.cli import streams
from backtime.cli.options import add_fields, check_threads, chosen
from backtime.errors import UsageError
from backtime.files import to_json
from backtime.long_dependencies import dataset
from backtime.long_dependencies.problems import PROBLEMS
from backtime.long_dependencies.remedies import PARTS, PLAIN
from backtime.long_dependencies.survey import LENGTH, PROBLEM, QUICK, TRAINING, Plan

EXAMPLES = """\
examples:
  backtime bench memory --quick                              a minute
  backtime bench memory --task order --cells rnn,lstm --delays 50,100,200
  backtime bench memory --cells lstm --remedies none,clip,forget-bias=5+clip --minutes 20
  backtime bench memory --write adding.csv --delay 100       the problem as a file for train"""
INTERRUPTED = 130  # as a shell counts SIGINT


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb and what it measures."""
    verb = subparsers.add_parser(
        "bench", help="measure what networks can do", description="Measure what networks can do."
    )
    measures = verb.add_subparsers(dest="measure", metavar="MEASURE", required=True)
    parser = measures.add_parser(
        "memory",
        help="how far back each cell remembers, and what helps",
        description="Train each cell with each remedy on a problem that needs memory, over growing delays.",
        epilog=f"{_lists()}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # the namespace holds only what was given
    )
    add_fields(parser, Plan, (PROBLEM, TRAINING, LENGTH))
    parser.add_argument("--quick", action="store_true", help="a small look: two remedies, short delays")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    group = parser.add_argument_group("output")
    group.add_argument("--out", type=Path, metavar="FOLDER", help="new folder (default memory-TASK-N)")
    group.add_argument("--json", action="store_true", help="print one JSON object on stdout; write no files")
    group.add_argument("--quiet", action="store_true", help="print the table alone")
    group = parser.add_argument_group("the problem as a file, in place of the measurement")
    group.add_argument("--write", type=Path, metavar="FILE", help="adding: .csv for train --task forecast; "
                       "order, parity: .npz for --task classify")  # fmt: skip
    group.add_argument("--delay", type=int, metavar="T", help="steps to remember (default 100)")
    group.add_argument("--count", type=int, metavar="N", help="sequences (default 2000)")
    parser.set_defaults(parser=parser)


def _lists() -> str:
    problems = "\n".join(f"  {name:<8} {problem.help}" for name, problem in PROBLEMS.items())
    return f"tasks:\n{problems}\n\nremedies, which + joins:\n  {', '.join((PLAIN, *PARTS))}"


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; or write the problem. Returns the exit status."""
    options = vars(args)
    given = chosen(args, Plan)
    plan = Plan(**(QUICK if "quick" in options else {}) | given)
    if "write" in options:
        return _write(plan, given, options)
    for name in ("delay", "count"):
        if name in options:
            raise UsageError(f"--{name} is given; expected it with --write FILE")
    check_threads(options.get("threads"))
    try:
        return _measure(plan, options)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "matplotlib"):
            raise
        raise UsageError(f"bench needs {error.name}: pip install 'backtime[train,plots]'") from error


def _measure(plan: Plan, options: dict[str, Any]) -> int:
    import torch

    from backtime.long_dependencies import saving, table
    from backtime.long_dependencies.survey import survey
    from backtime.training.signals import StopSignals

    streams.need_output()
    as_json, quiet = "json" in options, "quiet" in options
    out = None if as_json else saving.place_for(options.get("out"), plan.task)
    if "threads" in options:
        torch.set_num_threads(options["threads"])
    tell = (lambda row: None) if as_json or quiet else partial(_tell, plan)
    with StopSignals() as signals:
        signals.patient = True
        signals.release()
        found = survey(plan, lambda: signals.received is not None, tell)
        if not found.rows:
            _refuse(plan, found.cut)
        print(to_json(table.as_json(found)) if as_json else table.lines(found))
        if out is not None:
            files = saving.write(found, out)
            if not quiet:
                print(f"\nwritten: {', '.join(str(out / name) for name in files)}")
    return INTERRUPTED if found.cut == "interrupt" else 0


def _refuse(plan: Plan, cut: str) -> NoReturn:
    """There is nothing to show."""
    if cut == "interrupt":
        raise KeyboardInterrupt
    raise UsageError(f"--minutes is {plan.minutes:g}, too short for one trial; expected more")


def _tell(plan: Plan, row: Any) -> None:
    from backtime.long_dependencies.table import told

    streams.complain(told(row, plan.problem))


def _write(plan: Plan, given: dict[str, Any], options: dict[str, Any]) -> int:
    """The problem as a file."""
    others = set(given) - {"task", "seed"} | set(options) & {"quick", "out", "json", "quiet", "threads"}
    if others:
        option = sorted(others)[0].replace("_", "-")
        raise UsageError(f"--{option} has no meaning with --write; expected --task, --seed, --delay, --count")
    size = options.get("delay", dataset.DELAY), options.get("count", dataset.COUNT)
    dataset.write(plan.problem, options["write"], *size, plan.seed)
    return 0
