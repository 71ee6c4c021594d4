"""``backtime export MODEL --to FORMAT``: a trained model in a format of others; see docs/export.md."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.export import FORMATS, export
from backtime.models.file import ModelFile, read_model, write_model

EXAMPLES = """\
examples:
  backtime export runs/book-lstm-1 --to onnx --out book.onnx
  backtime export runs/book-gru-1 --to c --int8 --out book.c
  backtime export runs/book-gru-1 --to c --int8 --data other.txt"""


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "export",
        help="write a trained model in a format of others",
        description="Write a trained model in a format of others. The file is tried before it is kept.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="model file or run folder (its best model)")
    told = "; ".join(f"{name}: {form.help}" for name, form in FORMATS.items())
    parser.add_argument("--to", choices=FORMATS, required=True, help=told)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: the model's name with the format's ending"
    )
    parser.add_argument("--int8", action="store_true", help="c: weights of one byte each")
    parser.add_argument(
        "--data", type=Path, metavar="DATA", help="with --int8: measure on it what the rounding costs"
    )


def run(args: argparse.Namespace) -> int:
    """Export, and say what was found; returns the exit status."""
    if args.int8 and args.to != "c":
        raise UsageError(f"--int8 with --to {args.to}; expected --to c")
    if args.data and not args.int8:
        raise UsageError("--data is given; expected it with --int8, whose cost is measured on it")
    model = read_model(args.model)
    cost = _cost(model, args.data) if args.data else []
    out = args.out or Path(f"{args.model.resolve().stem}{FORMATS[args.to].ending}")
    try:
        lines = export(model, args.to, out, **({"int8": True} if args.int8 else {}))
    except UsageError as error:
        raise UsageError(f"{args.model}: {error}") from error
    for line in [*lines, *cost]:
        print(line)
    print(f"written: {out} ({out.stat().st_size:,} bytes)")
    return 0


def _cost(model: ModelFile, data: Path) -> list[str]:
    """Each score of the model on ``data``, before and after its weights are rounded to one byte."""
    try:
        from backtime.tasks.evaluation import evaluate
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError("--data needs PyTorch: pip install torch") from error
    from backtime.export.c_code import quantised

    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        scores = []
        for name, own in (("float", model), ("int8", quantised(model))):
            path = Path(folder) / f"{name}.safetensors"
            write_model(path, own)
            scores.append(evaluate(path, data))
    before, after = scores
    return [f"int8 on {data}: {name} {before[name]:.6g} becomes {after[name]:.6g}" for name in before]
