"""``backtime train [CORPUS]``: options to settings; the work is in ``tasks.language``."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.training.presets import PRESETS
from backtime.training.settings import CHOICES, LEARNING_RATES, Settings, option

DESCRIPTION = """\
Train a recurrent network to predict a text, symbol by symbol.
CORPUS is a text file or a folder of them; without one, the sources of Python's standard library are read."""

EXAMPLES = """\
examples:
  backtime train                                     the default corpus and network
  backtime train book.txt --preset demo              a small model in about four minutes
  backtime train book.txt --cell gru --hidden-size 512 --dropout 0.3 --minutes 60
  backtime train --resume runs/book-gru-1 --epochs 30"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on a text",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # the namespace holds only what was given
    )
    parser.add_argument("corpus", nargs="?", metavar="CORPUS", help="text file or folder")
    _add_run(parser.add_argument_group("run"))
    _add_text(parser.add_argument_group("text"))
    _add_network(parser.add_argument_group("network"))
    _add_steps(parser.add_argument_group("training"))
    _add_length(parser.add_argument_group("length and rhythm"))


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    try:
        from backtime.tasks import runs
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UsageError("training needs PyTorch: pip install 'backtime[train]'") from error
    options = vars(args)
    paths = {name: Path(options[name]) for name in ("corpus", "out", "init_from") if name in options}
    request = runs.Request(
        given={name: value for name, value in options.items() if name in _NAMES},
        preset=PRESETS[options["preset"]] if "preset" in options else {},
        quiet=options.get("quiet", False),
        as_json=options.get("json", False),
        **paths,
    )
    if "resume" not in options:
        return runs.train(request)
    for name in ("preset", "init_from", "out"):
        if name in options:
            raise UsageError(f"{option(name)} cannot be combined with --resume")
    return runs.resume(Path(options["resume"]), request)


_NAMES = {field.name for field in fields(Settings)}


def _default(name: str) -> Any:
    return next(field.default for field in fields(Settings) if field.name == name)


def _add(group: Any, name: str, kind: type, text: str, **more: Any) -> None:
    """An option with the setting's name, choices and default."""
    default = _default(name)
    if default is not None and default is not False:
        text += f" (default {default})"
    if name in CHOICES:
        more |= {"choices": CHOICES[name]}
    elif kind is not str:
        more |= {"metavar": "N" if kind is int else "X"}
    group.add_argument(option(name), type=kind, help=text.replace("%", "%%"), **more)


def _add_run(group: Any) -> None:
    group.add_argument(
        "--preset", choices=PRESETS, help="a named set of settings; options beside it override it"
    )
    group.add_argument("--out", metavar="FOLDER", help="run folder (default runs/CORPUS-CELL-N)")
    group.add_argument("--resume", metavar="FOLDER", help="go on with a run that was stopped")
    group.add_argument("--init-from", metavar="MODEL", help="begin with the weights and symbols of a model")
    _add(group, "seed", int, "of all random numbers")
    _add(group, "device", str, "where to compute: cpu, cuda, ...")
    _add(group, "threads", int, "CPU threads (default: PyTorch's choice)")
    group.add_argument("--quiet", action="store_true", help="print errors only")
    group.add_argument(
        "--json", action="store_true", help="print log lines and the summary as JSON on stdout"
    )


def _add_text(group: Any) -> None:
    _add(group, "level", str, "what a symbol is")
    _add(group, "vocabulary_size", int, "word level: number of words kept")
    _add(group, "validation_fraction", float, "share of the text, at its end, to validate on")


def _add_network(group: Any) -> None:
    _add(group, "cell", str, "kind of recurrent layer")
    _add(group, "hidden_size", int, "units a layer")
    _add(group, "layers", int, "recurrent layers, one above the other")
    _add(group, "embedding_size", int, "size of learned symbol vectors; 0 feeds symbols one-hot")
    group.add_argument("--tie-weights", action="store_true", help="share embedding and output weights")
    _add(group, "activation", str, "of the rnn cell")
    form = group.add_mutually_exclusive_group()
    form.add_argument(
        "--reset-after",
        action="store_true",
        dest="reset_after",
        help="gru: reset gate after the product (default)",
    )
    form.add_argument(
        "--reset-before", action="store_false", dest="reset_after", help="gru: reset gate before it"
    )
    _add(group, "dropout", float, "share of units dropped between layers")


def _add_steps(group: Any) -> None:
    _add(group, "seq_length", int, "time steps a gradient goes back")
    _add(group, "batch_size", int, "streams read side by side")
    _add(group, "optimizer", str, "how weights follow gradients")
    rates = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
    _add(group, "lr", float, f"learning rate (default: {rates})")
    _add(group, "weight_decay", float, "pull of the weights to zero")
    _add(group, "grad_clip", float, "largest norm of the gradient; 0 does not clip")
    _add(group, "schedule", str, "course of the learning rate")
    _add(group, "warmup", int, "steps in which the rate rises from zero")


def _add_length(group: Any) -> None:
    _add(group, "epochs", int, "passes through the text")
    _add(group, "minutes", float, "stop after X minutes of training")
    _add(group, "max_steps", int, "stop after N steps")
    _add(group, "patience", int, "stop after N validations without a better loss")
    _add(group, "log_every", int, "steps between log lines")
    _add(group, "validate_every", int, "steps between validations (default: an epoch, at most 1000)")
    _add(group, "save_every", int, "steps between saves (default: at each validation)")
