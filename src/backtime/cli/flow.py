"""``backtime flow MODEL [DATA]``: the gradient through time of a trained model; see docs/flow.md."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.models.file import task_of
from backtime.training.run_folder import config_of_run

EXAMPLES = """\
examples:
  backtime flow runs/book-lstm-1                       on the end of the text it was trained on
  backtime flow runs/book-lstm-1 other.txt --steps 512
  backtime flow --compare runs/book-rnn-1 runs/book-lstm-1 --data book.txt
  backtime flow runs/book-lstm-1 --units 12            what units of the top layer do"""


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "flow",
        help="see the gradient travel through time",
        description="Measure how the gradient of a model's loss travels back through time.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", type=Path, help="model file or run folder")
    parser.add_argument(
        "data", metavar="DATA", nargs="?", type=Path, help="text (default: what the run was trained on)"
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("BEFORE", "AFTER"), type=Path, help="two models side by side"
    )
    parser.add_argument("--data", dest="text", metavar="DATA", type=Path, help="the text, with --compare")
    parser.add_argument(
        "--steps", type=int, default=256, metavar="N", help="time steps that are looked at (default 256)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, metavar="N", help="pieces of the text (default 8)"
    )
    parser.add_argument(
        "--seq-length",
        type=int,
        metavar="N",
        help="what the model was trained with (default: as its run says)",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where files go (default flow-NAME)")
    parser.add_argument(
        "--units", nargs="?", const=8, type=int, metavar="N", help="show what N units of the top layer do"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print flow.json on stdout; write no files")
    parser.add_argument("--quiet", action="store_true", help="print the verdict alone")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; returns the exit status."""
    _check(args)
    try:
        import torch

        from backtime.insight import language

        if args.threads is not None:
            torch.set_num_threads(args.threads)
        reports, units = [], None
        for path in args.compare or [args.model]:
            reading, own = _measure(path, args, language)
            reports.append(own)
            if args.units is not None:
                units = language.units_of(reading, args.units)
        if args.json:
            found = [own.to_json() for own in reports]
            print(json.dumps(found if args.compare else found[0]))
        else:
            _show(reports, units, args)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "rich", "matplotlib", "plotly"):
            raise
        raise UsageError(f"flow needs {error.name}: pip install 'backtime[train,insight]'") from error
    return 0


def _measure(path: Path, args: argparse.Namespace, language: Any) -> tuple[Any, Any]:
    """The report on one model, with the text and the sequence length of its run where none is given."""
    task_of(path)  # says what is wrong with the path before anything about the text
    run_of = config_of_run(path)
    data = args.text or args.data or (Path(run_of["data"]) if run_of.get("data") else None)
    if data is None and not run_of:
        raise UsageError(
            f"DATA is missing: {path} is no run folder, which would name the text of its training"
        )
    trained = args.seq_length or run_of.get("settings", {}).get("seq_length")
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        reading = language.read(path, data, args.steps, args.batch_size, Path(folder))
        found = language.measure(reading, trained)
        if args.compare:
            found.name = str(path)
    return reading, found


def _check(args: argparse.Namespace) -> None:
    if args.compare and args.units is not None:
        raise UsageError("--units is given with --compare; expected one model")
    if args.compare and args.model:
        raise UsageError("--compare takes two models and --data a text; MODEL stands alone")
    if not args.compare and args.model is None:
        raise UsageError("MODEL is missing; expected a model file or a run folder")
    for name in ("steps", "batch_size", "seq_length", "units", "threads"):
        value = getattr(args, name)
        if value is not None and value < (2 if name == "steps" else 1):
            raise UsageError(f"--{name.replace('_', '-')} is {value}; expected a whole number from 1")


def _show(reports: list[Any], units: Any, args: argparse.Namespace) -> None:
    from rich.console import Console

    from backtime.insight import page, pictures, terminal, units_shown

    console = Console(highlight=False)
    if args.quiet:
        for own in reports:
            print(f"{own.name}: {own.verdict.line}" if len(reports) > 1 else own.verdict.line)
    else:
        console.print(terminal.summary(reports[0]) if len(reports) == 1 else terminal.comparison(*reports))
    name = "-".join(own.name.replace("/", "-") for own in reports)
    out = args.out or Path(f"flow-{name}")
    out.mkdir(parents=True, exist_ok=True)
    found = [own.to_json() for own in reports]
    figure = pictures.picture(reports)
    files = {
        "flow.json": json.dumps(found if len(found) > 1 else found[0]).encode(),
        "flow.png": pictures.drawn(figure, "png"),
        "flow.svg": pictures.drawn(figure, "svg"),
        "flow.html": page.page(reports).encode(),
    }
    if units is not None:
        files["units.html"] = units_shown.page(reports[0].name, units).encode()
        if not args.quiet:
            console.print(units_shown.shown(units))
    for file, content in files.items():
        with atomic_write(out / file) as target:
            target.write(content)
    if not args.quiet:
        console.print(f"written: {', '.join(str(out / file) for file in files)}")
