"""``backtime serve MODEL ...``: trained models over HTTP, with a page; see docs/serve.md."""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import backtime.kernels as kernels
from backtime.cli.options import add_fields, check_threads, chosen
from backtime.errors import UsageError
from backtime.serve.settings import ServeSettings

NEEDED = ("starlette", "uvicorn", "websockets", "prometheus_client")
EXAMPLES = """\
examples:
  backtime serve runs/book-lstm-1
  backtime serve runs/book-lstm-1 runs/reviews-lstm-1 --port 9000 --token-file secret.txt
  curl -N localhost:8000/v1/models/book-lstm-1/stream -H 'Content-Type: application/json' -d '{}'"""


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "serve",
        help="serve trained models over HTTP, with a page",
        description="Serve trained models over HTTP, and a page to watch them write. Ctrl-C stops.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models", metavar="MODEL", type=Path, nargs="+", help="model file or run folder (its best model)"
    )
    add_fields(parser, ServeSettings)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads of a step (default 1); no number depends on it"
    )
    parser.add_argument("--quiet", action="store_true", help="log errors and warnings only")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes; returns the exit status."""
    check_threads(args.threads)
    settings = ServeSettings(**chosen(args, ServeSettings))
    settings.token()
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"serve needs {name}: pip install 'backtime[serve]'")
    from backtime.serve.run import serve

    kernels.set_threads(args.threads or 1)  # a step is too short for two: the others have more to do
    serve(args.models, settings, args.quiet)
    return 0
