"""``backtime predict MODEL [FILE]``: what a model says of each record, as it comes. See ``tasks.load``."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import backtime.kernels as kernels
import backtime.tasks as tasks
from backtime.cli.options import check_threads
from backtime.cli.picture import save_picture
from backtime.cli.streams import need_output
from backtime.files import to_json
from backtime.runtime.predictor import Row

EXAMPLES = """\
examples:
  backtime predict runs/book-lstm-1 lines.txt
  tail -f server.log | backtime predict model.safetensors
  backtime predict model.safetensors lines.txt --format csv > scores.csv
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
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; no number depends on it")


def run(args: argparse.Namespace) -> int:
    """Predict and print; returns the exit status."""
    need_output()
    check_threads(args.threads)
    if args.threads is not None:
        kernels.set_threads(args.threads)
    predictor = tasks.load(args.model)
    source = None if args.file in (None, "-") else Path(args.file)
    records: Iterable[Any] = predictor.read(source)
    if args.picture:
        records = list(records)
        save_picture(args.picture, predictor, records)
    rows = predictor.predict(records)
    if args.format == "csv":
        _print_csv(rows)
    else:
        for row in rows:
            print(to_json(row, ensure_ascii=False), flush=True)
    return 0


def _print_csv(rows: Iterator[Row]) -> None:
    """A head with the names of the first row, then each row; what is no plain value stands as JSON."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow([to_json(v) if isinstance(v, list | dict) else v for v in row.values()])
        sys.stdout.flush()
