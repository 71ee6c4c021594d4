"""``backtime VERB ...``: finds the verb and imports it alone, so that ``sample`` never waits for PyTorch."""

import argparse
import importlib
import sys
import warnings
from typing import Any, NoReturn

from backtime.cli import streams
from backtime.errors import DataWarning, UsageError, one_line
from backtime.version import __version__

VERBS = {
    "train": "train a model",
    "sample": "write something new with a trained model",
    "evaluate": "measure a trained model on data",
    "predict": "apply a trained model to records",
    "serve": "serve trained models over HTTP, with a page",
    "export": "write a trained model in a format of others",
    "flow": "see the gradient travel through time",
    "bench": "measure what networks can do",
    "derive": "every path of backpropagation through time",
}
BAD_INPUT, INTERRUPTED, CLOSED = 2, 130, 141  # exit statuses; 128 + SIGINT, 128 + SIGPIPE


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line, and which takes no option for another that begins so."""

    def __init__(self, **options: Any) -> None:
        """Every option is to be written out: a new one must not change what an old command line means."""
        super().__init__(**options, allow_abbrev=False)

    def print_help(self, file: Any = None) -> None:
        """On standard output; where that fails, it is told as of every verb."""
        print(self.format_help(), end="", file=file, flush=True)

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        self.exit(BAD_INPUT, f"backtime: {one_line(message)} (see {self.prog} --help)\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    0; 2 for bad input; as a shell counts signals, 130 after Ctrl-C and 141 when whoever read the output has
    closed it.
    """
    streams.open_all()
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:  # after --help too, which leaves by SystemExit
            if not isinstance(sys.exception(), UsageError | OSError):
                streams.flush()
    except UsageError as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        streams.drop_output()
        return CLOSED
    except OSError as error:
        return _complain(_what(error))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):  # PyTorch's words
            raise
        return _complain(f"out of memory: {error}")
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)


def _run(arguments: list[str]) -> int:
    """Find the verb and run it; all that may fail, imports too. What it warns of in the data is one line."""
    parser = _parser(arguments)
    args, strange = parser.parse_known_args(arguments)
    if strange:
        args.parser.error(f"unrecognized arguments: {' '.join(strange)}")
    plain = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, DataWarning):
            streams.complain(str(message))
        else:
            plain(message, category, *where)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show  # type: ignore[assignment]  # of the others it hands all on
        return int(importlib.import_module(f"backtime.cli.{args.verb}").run(args))


def _what(error: OSError) -> str:
    """An error of the system in words."""
    if error.filename:
        return f"{error.filename}: {error.strerror}"
    if streams.is_of_output(error):
        streams.drop_output()
        return f"cannot write to standard output: {error.strerror}"
    return error.strerror or str(error)


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
    for own in subparsers.choices.values():
        own.set_defaults(parser=own)
    return parser


def _complain(line: str, status: int = BAD_INPUT) -> int:
    streams.complain(line)
    return status


if __name__ == "__main__":
    sys.exit(main())
