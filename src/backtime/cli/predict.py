"""``backtime predict MODEL [FILE]``: what a model says of each record, as it comes. See ``tasks.load``."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import backtime.kernels as kernels
import backtime.tasks as tasks
from backtime.cli.options import check_threads, meant
from backtime.cli.picture import save_picture
from backtime.cli.streams import need_output
from backtime.errors import UsageError
from backtime.files import to_json
from backtime.runtime.predictor import Predictor, Row

EXAMPLES = """\
examples:
  backtime predict runs/book-lstm-1 lines.txt
  tail -f server.log | backtime predict model.safetensors
  backtime predict model.safetensors lines.txt --format csv > scores.csv
  backtime predict runs/paraphrases-lstm-1 sentences.txt --query 'Where is it?' --top 10
  backtime predict runs/sales-lstm-1 sales.csv --picture forecast.svg"""


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "predict",
        help="apply a trained model to records",
        description="Print a row for each record of FILE, or of standard input, as it comes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="model file or run folder (its best model)")
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="records such as the model was trained on (default: stdin)"
    )
    parser.add_argument(
        "--format", choices=("jsonl", "csv"), default="jsonl", help="JSON lines (default) or CSV"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw the predictions too: .svg, .png or .pdf"
    )
    parser.add_argument(
        "--query", metavar="TEXT", help="rank the lines of FILE by how alike they are to this text"
    )
    parser.add_argument("--top", type=int, metavar="N", help="with --query: the first N lines alone")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; no number depends on it")


def run(args: argparse.Namespace) -> int:
    """Predict and print; returns the exit status."""
    need_output()
    check_threads(args.threads)
    _check_query(args)
    if args.threads is not None:
        kernels.set_threads(args.threads)
    predictor = tasks.load(args.model)
    source = None if args.file in (None, "-") else Path(args.file)
    rows = (
        _predicted(predictor, source, args.picture)
        if args.query is None
        else _ranked(predictor, source, args)
    )
    if args.format == "csv":
        _print_csv(rows)
    else:
        for row in rows:
            print(to_json(row, ensure_ascii=False), flush=True)
    return 0


def _check_query(args: argparse.Namespace) -> None:
    if args.query is not None and not args.query.strip():
        raise UsageError("--query is empty; expected a text")
    if args.top is not None and args.query is None:
        raise UsageError(f"--top {args.top} without --query; expected a text to rank by")
    if args.top is not None and args.top < 1:
        raise UsageError(f"--top is {args.top}; expected a number from 1")


def _predicted(predictor: Predictor, source: Path | None, picture: Path | None) -> Iterator[Row]:
    """A row for each record."""
    records: Iterable[Any] = predictor.read(source)
    if picture:
        records = list(records)
        save_picture(picture, predictor, records)
    return predictor.predict(records)


def _ranked(predictor: Predictor, source: Path | None, args: argparse.Namespace) -> Iterator[Row]:
    """The lines of a file by how alike they are to ``--query``."""
    rank = getattr(predictor, "rank", None)
    if rank is None:
        raise UsageError("--query: the model compares no texts; expected one that was trained to")
    if args.picture:
        raise UsageError("--picture is given with --query; expected one of them")
    rows: Iterator[Row] = rank(source, meant(args.query), args.top)
    return rows


def _print_csv(rows: Iterator[Row]) -> None:
    """A head with the names of the first row, then each row; what is no plain value stands as JSON."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow([to_json(v) if isinstance(v, list | dict) else v for v in row.values()])
        sys.stdout.flush()
