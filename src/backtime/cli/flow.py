"""``backtime flow MODEL [DATA]``: the gradient through time of a trained model; see docs/flow.md."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.models.file import task_of
from backtime.training.run_folder import config_of_run

if TYPE_CHECKING:
    from backtime.insight.units_report import Extra

EXAMPLES = """\
examples:
  backtime flow runs/book-lstm-1                       on the end of the text it was trained on
  backtime flow runs/book-lstm-1 other.txt --steps 512
  backtime flow runs/adding-rnn-1 --needs 50           does the gradient reach 50 steps back?
  backtime flow --compare runs/book-rnn-1 runs/book-lstm-1 --data book.txt
  backtime flow runs/book-lstm-1 --units 12            what units of the top layer do
  backtime flow runs/reviews-gru-1 --units 5           which words decided for the label"""


PIECES, EXAMPLES_AT_ONCE = 8, 32  # of a text; of other data


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
        "data", metavar="DATA", nargs="?", type=Path, help="text or other data (default: those of the run)"
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("BEFORE", "AFTER"), type=Path, help="two models side by side"
    )
    parser.add_argument("--data", dest="text", metavar="DATA", type=Path, help="the data, with --compare")
    parser.add_argument(
        "--steps",
        type=int,
        default=256,
        metavar="N",
        help="time steps, or lags, that are looked at (default 256)",
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="pieces of the text (default 8), or examples (32)"
    )
    parser.add_argument(
        "--seq-length",
        type=int,
        metavar="N",
        help="what the model was trained with (default: as its run says)",
    )
    parser.add_argument(
        "--needs",
        type=int,
        metavar="N",
        help="how many steps back the answer lies in your problem: does the gradient reach that far?",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where files go (default flow-NAME)")
    parser.add_argument(
        "--units",
        nargs="?",
        const=8,
        type=int,
        metavar="N",
        help="what N units of the top layer do; of other data than texts also which steps decided in N "
        "examples",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print flow.json on stdout; write no files")
    parser.add_argument("--quiet", action="store_true", help="print the verdict alone")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; returns the exit status."""
    _check(args)
    try:
        import torch

        if args.threads is not None:
            torch.set_num_threads(args.threads)
        seen = [_look(path, args) for path in args.compare or [args.model]]
        reports = [own for own, _ in seen]
        if args.compare:
            _name(reports, args.compare)
        if args.json:
            found = _numbers(reports, seen[0][1])
            print(json.dumps(found if args.compare else found[0]))
        else:
            _show(reports, seen[0][1], args)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "rich", "matplotlib", "plotly"):
            raise
        raise UsageError(f"flow needs {error.name}: pip install 'backtime[train,insight]'") from error
    return 0


def _look(path: Path, args: argparse.Namespace) -> tuple[Any, Extra | None]:
    """The report on one model and, with ``--units``, what else is shown of it."""
    look = _look_at_text if task_of(path) == "language" else _look_at_batch
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        report, extra = look(path, args, Path(folder))
    return report, extra


def _name(reports: list[Any], paths: list[Path]) -> None:
    """By the ends of their paths, where these tell them apart: a picture has no room for more."""
    names = [path.resolve().name for path in paths]
    for report, path, name in zip(reports, paths, names, strict=True):
        report.name = name if len(set(names)) > 1 else str(path)


def _look_at_text(path: Path, args: argparse.Namespace, folder: Path) -> tuple[Any, Extra | None]:
    """A language model on pieces of a text: every symbol has a loss."""
    from backtime.insight.language import reading as language
    from backtime.insight.units_report import of_text

    run_of = config_of_run(path)
    data = args.text or args.data or (Path(run_of["data"]) if run_of.get("data") else None)
    if data is None and not run_of:
        raise UsageError(
            f"DATA is missing: {path} is no run folder, which would name the text of its training"
        )
    trained = args.seq_length or run_of.get("settings", {}).get("seq_length")
    reading = language.read(path, data, args.steps, args.batch_size or PIECES, folder)
    report = language.measure(reading, trained, args.needs)
    if args.units is None:
        return report, None
    return report, of_text(reading.name, language.units_of(reading, args.units))


def _look_at_batch(path: Path, args: argparse.Namespace, folder: Path) -> tuple[Any, Extra | None]:
    """A model of any other task on a batch of its data, with the loss of its training."""
    from backtime.insight.gradient.flows import flow_of
    from backtime.insight.reports.report import report
    from backtime.insight.units_report import of_questions
    from backtime.tasks import looking

    own = looking.subject(path, args.text or args.data, args.batch_size or EXAMPLES_AT_ONCE)
    task = looking.task_of(own, folder)
    found = flow_of(task.model, lambda: looking.batch_loss(task), lags=args.steps, spectra=True)
    name = path.stem or str(path)
    trained, option = looking.length(own.settings)
    told = report(name, found, args.seq_length or trained, found.loss, option, args.needs)
    if args.units is None:
        return told, None
    asked = list(own.kind.questions(own.file, own.data, args.units))
    if not asked:
        raise UsageError(f"{own.data} has nothing to look at; expected {own.kind.data}")
    return told, of_questions(name, asked, args.units)


def _numbers(reports: list[Any], extra: Extra | None) -> list[dict[str, Any]]:
    """What ``flow.json`` has of each report; what ``--units`` adds is of the only one."""
    return [own.to_json() | (extra.numbers if extra else {}) for own in reports]


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; expected a folder that can be written") from error


def _check(args: argparse.Namespace) -> None:
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out {args.out} is a file; expected a folder")
    if args.compare and args.units is not None:
        raise UsageError("--units is given with --compare; expected one model")
    if args.compare and args.model:
        raise UsageError("--compare takes two models and --data a text; MODEL stands alone")
    if not args.compare and args.model is None:
        raise UsageError("MODEL is missing; expected a model file or a run folder")
    for name in ("steps", "batch_size", "seq_length", "needs", "units", "threads"):
        value = getattr(args, name)
        if value is not None and value < (2 if name == "steps" else 1):
            raise UsageError(f"--{name.replace('_', '-')} is {value}; expected a whole number from 1")


def _show(reports: list[Any], extra: Extra | None, args: argparse.Namespace) -> None:
    from rich.console import Console

    from backtime.insight.reports import page, pictures, terminal

    console = Console(highlight=False)
    if args.quiet:
        for own in reports:
            print(f"{own.name}: {own.verdict.line}" if len(reports) > 1 else own.verdict.line)
    else:
        console.print(terminal.summary(reports[0]) if len(reports) == 1 else terminal.comparison(*reports))
    name = "-".join(own.name.replace("/", "-") for own in reports)
    out = args.out or Path(f"flow-{name}")
    _make(out)
    found = _numbers(reports, extra)
    figure = pictures.picture(reports)
    files = {
        "flow.json": json.dumps(found if len(found) > 1 else found[0]).encode(),
        "flow.png": pictures.drawn(figure, "png"),
        "flow.svg": pictures.drawn(figure, "svg"),
        "flow.html": page.page(reports).encode(),
    }
    if extra is not None:
        files |= {file: page.encode() for file, page in extra.pages.items()}
        if not args.quiet:
            console.print(extra.shown)
    for file, content in files.items():
        with atomic_write(out / file) as target:
            target.write(content)
    if not args.quiet:
        console.print(f"written: {', '.join(str(out / file) for file in files)}")
