"""``backtime sample MODEL``: something new from a trained model. See ``backtime.tasks.load``."""

import argparse
import io
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, cast

import backtime.kernels as kernels
import backtime.tasks as tasks
from backtime.cli.options import add_fields, check_threads, chosen, task_of_model
from backtime.cli.streams import need_output
from backtime.errors import UsageError
from backtime.files import to_json
from backtime.runtime.predictor import Writer

INTERRUPTED = 130  # exit status, 128 + SIGINT
BATCH = 64  # pieces written at once into a pipe or a file: a flush for each would cost as much as drawing it

EXAMPLES = """\
examples:
  backtime sample runs/book-lstm-1 --prompt "Once upon" --length 500
  backtime sample model.safetensors --temperature 0.7 --top-p 0.95 --seed 3
  backtime sample model.safetensors --prompt "Q: " --stop "Q:" --quiet > answer.txt"""


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb, with the options of the model's task."""
    kind = task_of_model(arguments)
    parser = subparsers.add_parser(
        "sample",
        help="write something new with a trained model",
        description="Print the prompt and what continues it. That alone goes to stdout.",
        epilog=EXAMPLES if kind.sampling else "",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="model file or run folder (its best model)")
    if kind.sampling:
        add_fields(parser, kind.sampling)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads; the text does not depend on it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end instead")
    parser.add_argument("--quiet", action="store_true", help="print nothing on stderr")
    parser.set_defaults(kind=kind)


def run(args: argparse.Namespace) -> int:
    """Print the text; returns the exit status. A closed pipe and Ctrl-C end it quietly."""
    try:
        _sample(args)
    except BrokenPipeError:  # the reader has seen enough; Python must not try to flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _sample(args: argparse.Namespace) -> None:
    need_output()
    check_threads(args.threads)
    if args.threads is not None:
        kernels.set_threads(args.threads)
    if args.kind.sampling is None:
        raise UsageError(f"{args.model}: the task {args.kind.name} has nothing to sample; try predict")
    options = chosen(args, args.kind.sampling)
    prompt = options.get("prompt", "")
    drawn = cast(Writer, tasks.load(args.model)).sample(**options)
    start = time.perf_counter()
    text = "".join(drawn) if args.json else _print(prompt, drawn)
    seconds = time.perf_counter() - start
    speed = len(text) / max(seconds, 1e-9)
    if args.json:
        values = {"prompt": prompt, "text": text, "characters": len(text), "seconds": seconds}
        print(to_json(values | {"characters_per_second": speed}), flush=True)
    elif not args.quiet:
        print(f"{len(text):,} characters in {seconds:.2f} s: {speed:,.0f} characters/s", file=sys.stderr)


def _print(prompt: str, drawn: Iterator[str]) -> str:
    """Write prompt and pieces as they come; returns what was drawn."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    live, text = out.isatty(), []
    for piece in _batches(chain([prompt], drawn), 1 if live else BATCH):
        out.write(piece)
        out.flush()
        text.append(piece)
    written = "".join(text)
    if live and not written.endswith("\n"):
        print(flush=True)  # the shell's prompt on its own line; in a pipe, nothing but the text
    return written[len(prompt) :]


def _batches(pieces: Iterable[str], size: int) -> Iterator[str]:
    batch: list[str] = []
    for piece in pieces:
        batch.append(piece)
        if len(batch) == size:
            yield "".join(batch)
            batch.clear()
    yield "".join(batch)
