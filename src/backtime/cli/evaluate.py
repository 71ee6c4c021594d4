"""``backtime evaluate MODEL TEXT``: how well a model predicts a text; the work is in ``tasks.evaluation``."""

import argparse
import json
from pathlib import Path
from typing import Any

from backtime.errors import UsageError


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a trained model on a text",
        description="Print how well a model predicts a text: the mean loss of every symbol but the first.",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="model file or run folder (its best model)")
    parser.add_argument("text", metavar="TEXT", type=Path, help="text file, or folder of them")
    parser.add_argument(
        "--batch-size", type=int, default=1, metavar="N", help="streams the text is cut into (default 1)"
    )
    parser.add_argument(
        "--seq-length", type=int, default=256, metavar="N", help="time steps at once (default 256)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--json", action="store_true", help="print the numbers as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; returns the exit status."""
    try:
        from backtime.tasks.evaluation import evaluate
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError("evaluate needs PyTorch: pip install 'backtime[train]'") from error
    scores = evaluate(args.model, args.text, args.batch_size, args.seq_length, args.threads)
    if args.json:
        print(json.dumps(scores))
        return 0
    width = max(map(len, scores))
    for name, value in scores.items():
        print(f"{name:<{width}}  {value:,}" if isinstance(value, int) else f"{name:<{width}}  {value:.4f}")
    return 0
