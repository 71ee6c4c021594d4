"""``backtime sample MODEL``: text from a trained model, without PyTorch. See ``backtime.runtime``."""

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from backtime import kernels, runtime

INTERRUPTED = 130  # exit status, 128 + SIGINT
BATCH = 64  # pieces written at once into a pipe or a file: a flush for each would cost as much as drawing it

EXAMPLES = """\
examples:
  backtime sample runs/book-lstm-1 --prompt "Once upon" --length 500
  backtime sample model.safetensors --temperature 0.7 --top-p 0.95 --seed 3
  backtime sample model.safetensors --prompt "Q: " --stop "Q:" --quiet > answer.txt"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "sample",
        help="write text with a trained model",
        description="Print the prompt and text that continues it. The text alone goes to stdout.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="model file or run folder (its best model)")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="text to continue (default: a new line)")
    parser.add_argument(
        "--length", type=int, default=1000, metavar="N", help="symbols to draw (default 1000)"
    )
    parser.add_argument("--stop", metavar="TEXT", help="end before this text")
    _add_drawing(parser.add_argument_group("drawing"))
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads; the text does not depend on it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end instead")
    parser.add_argument("--quiet", action="store_true", help="print nothing on stderr")


def _add_drawing(group: Any) -> None:
    group.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="below 1 bolder, above 1 wilder; 0 is --greedy",
    )
    group.add_argument(
        "--top-k", type=int, default=0, metavar="N", help="only the N likeliest symbols; 0 is all"
    )
    group.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="X",
        help="only the likeliest symbols that make up this mass",
    )
    group.add_argument("--greedy", action="store_true", help="always the likeliest symbol")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same text (default 0)")


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
    if args.threads is not None:
        kernels.set_threads(args.threads)
    model = runtime.load(args.model)
    drawn = model.sample(
        args.prompt,
        args.length,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        greedy=args.greedy,
        stop=args.stop,
        seed=args.seed,
    )
    start = time.perf_counter()
    text = "".join(drawn) if args.json else _print(args.prompt, drawn)
    seconds = time.perf_counter() - start
    speed = len(text) / max(seconds, 1e-9)
    if args.json:
        values = {"prompt": args.prompt, "text": text, "characters": len(text), "seconds": seconds}
        print(json.dumps(values | {"characters_per_second": speed}), flush=True)
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
