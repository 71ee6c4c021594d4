"""``backtime VERB ...``: finds the verb and imports it alone, so that ``sample`` never waits for PyTorch."""

import argparse
import importlib
import os
import sys
from typing import NoReturn

from backtime.errors import UsageError
from backtime.version import __version__

VERBS = {
    "train": "train a model",
    "sample": "write something new with a trained model",
    "evaluate": "measure a trained model on data",
    "predict": "apply a trained model to records",
    "derive": "every path of backpropagation through time",
}
BAD_INPUT, INTERRUPTED = 2, 130  # exit statuses; 130 is 128 + SIGINT


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        self.exit(BAD_INPUT, f"backtime: {message} (see {self.prog} --help)\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if argv is None else argv
    args = _parser(arguments).parse_args(arguments)
    try:
        return int(importlib.import_module(f"backtime.cli.{args.verb}").run(args))
    except UsageError as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("backtime: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser(arguments: list[str]) -> Parser:
    parser = Parser(prog="backtime", description="Recurrent neural networks, from training to use.")
    parser.add_argument("--version", action="version", version=f"backtime {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for verb, purpose in VERBS.items():
        if verb == wanted:
            importlib.import_module(f"backtime.cli.{verb}").add_parser(subparsers, arguments)
        else:
            subparsers.add_parser(verb, help=purpose)
    return parser


def _complain(line: str) -> int:
    print(f"backtime: {' '.join(line.split())}", file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
