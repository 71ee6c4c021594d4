"""``backtime evaluate MODEL DATA``: how good a model is; the work is in ``tasks.evaluation``."""

import argparse
from pathlib import Path
from typing import Any

from backtime.cli.options import add_fields, check_threads, chosen, task_of_model
from backtime.cli.streams import need_output
from backtime.errors import UsageError
from backtime.files import to_json


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb, with the options of the model's task."""
    kind = task_of_model(arguments)
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a trained model on data",
        description=f"Print how good a model is on data that it has not seen. Task: {kind.name}.",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="model file or run folder (its best model)")
    parser.add_argument("data", metavar="DATA", type=Path, help="data such as the model was trained on")
    add_fields(parser, kind.evaluation)
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--json", action="store_true", help="print the numbers as one JSON object")
    parser.set_defaults(kind=kind)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; returns the exit status."""
    need_output()
    check_threads(args.threads)
    try:
        from backtime.tasks.evaluation import evaluate
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError("evaluate needs PyTorch: pip install torch") from error
    scores = evaluate(args.model, args.data, args.threads, **chosen(args, args.kind.evaluation))
    if args.json:
        print(to_json(scores))
        return 0
    width = max(map(len, scores))
    for name, value in scores.items():
        print(f"{name:<{width}}  {value:,}" if isinstance(value, int) else f"{name:<{width}}  {value:.4f}")
    return 0
