"""``backtime export MODEL --to FORMAT``: a trained model in a format of others; see docs/export.md."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.export import FORMATS, export
from backtime.export.trials import Trial
from backtime.export.trials.records import recorded
from backtime.models.file import ModelFile, read_model, write_model
from backtime.tasks.running.same_data import COPY, STDIN
from backtime.training.run_folder import config_of_run

EXAMPLES = """\
examples:
  backtime export runs/book-lstm-1 --to onnx --out book.onnx
  backtime export reviews.safetensors --to onnx --data test.csv
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
        "--data",
        type=Path,
        metavar="DATA",
        help="try the file on this too (default: what the run was trained on, where it is still there); with "
        "--int8: measure on it what the rounding costs",
    )


def run(args: argparse.Namespace) -> int:
    """Export, and say what was found; returns the exit status."""
    if args.int8 and args.to != "c":
        raise UsageError(f"--int8 with --to {args.to}; expected --to c")
    model = read_model(args.model)
    trials, told = _trials(model, args)
    cost = _cost(model, args.data) if args.data and args.int8 else []
    out = args.out or Path(f"{args.model.resolve().stem}{FORMATS[args.to].ending}")
    try:
        lines = export(model, args.to, out, trials, **({"int8": True} if args.int8 else {}))
    except UsageError as error:
        raise UsageError(f"{args.model}: {error}") from error
    for line in [*told, *cost, *lines]:
        print(line)
    return 0


def _trials(model: ModelFile, args: argparse.Namespace) -> tuple[list[Trial], list[str]]:
    """What the file is tried on beside random inputs, and a line where there is none.

    Data that the user names must fit the model; those of its training may have gone, or become others.
    """
    if args.data:
        return [recorded(model, args.data)], []
    known = _data_of(args.model)
    if known is None:
        return [], ["no --data: tried on random inputs alone"]
    try:
        return [recorded(model, known)], []
    except (UsageError, OSError) as error:
        return [], [f"tried on random inputs alone, for the data of the training are not there: {error}"]


def _data_of(path: Path) -> Path | None:
    """What a run was trained on, as its folder knows it: the tokens of a text, or the path of the data."""
    if (path / "tokens.bin").is_file():
        return path
    data = config_of_run(path).get("data")
    if data == str(STDIN):
        return path / COPY
    return Path(data) if data else None


def _cost(model: ModelFile, data: Path) -> list[str]:
    """Each score of the model on ``data``, before and after its weights are rounded to one byte."""
    try:
        from backtime.tasks.evaluation import evaluate
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError("--data needs PyTorch: pip install torch") from error
    from backtime.export.c_int8 import quantised

    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        scores = []
        for name, own in (("float", model), ("int8", quantised(model))):
            path = Path(folder) / f"{name}.safetensors"
            write_model(path, own)
            scores.append(evaluate(path, data))
    before, after = scores
    return [f"int8 on {data}: {name} {before[name]:.6g} becomes {after[name]:.6g}" for name in before]
