"""``backtime train [DATA]``: options to settings; the work is in ``tasks.runs``."""

import argparse
from pathlib import Path
from typing import Any

from backtime.cli.options import add_fields, chosen, named_task
from backtime.errors import UsageError
from backtime.fields import flag
from backtime.tasks import DEFAULT, TASKS
from backtime.training.settings import GROUPS


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb, with the options of the task that ``arguments`` name."""
    kind = named_task(arguments)
    tasks = "\n".join(f"  {name:<12} {entry.help}" for name, entry in TASKS.items())
    parser = subparsers.add_parser(
        "train",
        help="train a model",
        description=f"Train a recurrent network to {TASKS[kind.name].help}."
        f"\nThese are the options of --task {kind.name}.",
        epilog=f"tasks:\n{tasks}\n\n{kind.examples}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # the namespace holds only what was given
    )
    parser.add_argument("data", nargs="?", metavar="DATA", help=kind.data)
    parser.add_argument("--task", choices=TASKS, help=f"what to train for (default {DEFAULT})")
    if kind.presets:
        parser.add_argument(
            "--preset", choices=kind.presets, help="a named set of settings; options beside it override it"
        )
    parser.add_argument("--out", metavar="FOLDER", help="run folder (default runs/DATA-KIND-N)")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a run that was stopped")
    parser.add_argument("--init-from", metavar="MODEL", help="begin with the weights and encoding of a model")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument(
        "--json", action="store_true", help="print log lines and the summary as JSON on stdout"
    )
    add_fields(parser, kind.settings, GROUPS)
    parser.set_defaults(kind=kind)


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    try:
        from backtime.tasks import runs
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError("training needs PyTorch: pip install torch") from error
    options = vars(args)
    kind = options["kind"]
    paths = {name: Path(options[name]) for name in ("data", "out", "init_from") if name in options}
    request = runs.Request(
        task=options.get("task"),
        given=chosen(args, kind.settings),
        preset=dict(kind.presets[options["preset"]]) if "preset" in options else {},
        quiet=options.get("quiet", False),
        as_json=options.get("json", False),
        **paths,
    )
    if "resume" not in options:
        return runs.train(request)
    for name in ("preset", "init_from", "out"):
        if name in options:
            raise UsageError(f"{flag(name)} cannot be combined with --resume")
    return runs.resume(Path(options["resume"]), request)
