"""``backtime derive``: every path of backpropagation through time. The work is in ``insight``."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from backtime.cli.streams import need_output
from backtime.errors import UsageError
from backtime.insight.derivation.derivation import Derivation
from backtime.insight.derivation.question import MOST_PATHS, paths
from backtime.insight.drawing.latex import latex_document
from backtime.insight.drawing.text import text_report, to_json
from backtime.insight.unfolded.network import LOSSES
from backtime.insight.unfolded.network_files import read_network

DESCRIPTION = """\
Write out every path on which a gradient travels back through an unfolded recurrent network:
as a product of partial derivatives, as a number, as a picture. The terms are added up and
compared with the gradient of backpropagation through time."""

EXAMPLES = """\
examples:
  backtime derive --layers 2 --steps 2 --names S,Z       the three paths of a small network
  backtime derive --layers 3 --steps 20 --wrt Wh2        too many to list: counted and summed by lag
  backtime derive --cell lstm --steps 3 --picture paths.svg --latex paths.tex
  backtime derive --weights runs/book-lstm-1 --text "once upon" --wrt Wh"""

OF_RANDOM = (
    "cell",
    "layers",
    "hidden_size",
    "input_size",
    "output_size",
    "loss",
    "activation",
    "reset_after",
)
WRONG = 1  # exit status when the terms do not add up


def add_parser(subparsers: Any, arguments: list[str]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "derive",
        help="every path of backpropagation through time",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # the namespace holds only what was given
    )
    _add_question(parser.add_argument_group("gradient"))
    _add_network(parser.add_argument_group("network"))
    _add_numbers(parser.add_argument_group("numbers"))
    _add_output(parser.add_argument_group("output"))


def run(args: argparse.Namespace) -> int:
    """Derive and print; returns the exit status, 1 when the terms do not add up."""
    need_output()
    options = vars(args)
    found = _derive(options)
    if "picture" in options:
        from backtime.insight.drawing.pictures import write_pictures

        write_pictures(found, options["picture"], options.get("path"))
    elif "path" in options:
        raise UsageError("--path is given; expected it with --picture")
    if "latex" in options:
        latex_document(found, options["latex"])
    if options.get("json"):
        print(json.dumps(to_json(found)))
    else:
        sys.stdout.write(text_report(found, options.get("factors", False), options.get("states", False)))
    return 0 if found.adds_up else WRONG


def _derive(options: dict[str, Any]) -> Derivation:
    question = {name: options[name] for name in ("wrt", "at", "names", "max_paths") if name in options}
    random = {name: options[name] for name in OF_RANDOM if name in options}
    sizes = {name: options[name] for name in ("steps", "seed") if name in options}
    if "weights" not in options:
        if "text" in options:
            raise UsageError("--text is given; expected it with --weights, a trained model")
        return paths(random.pop("cell", "rnn"), **question, **random, **sizes)
    if random:
        option = next(iter(random)).replace("_", "-").replace("reset-after", "reset-before")
        raise UsageError(f"--{option} cannot be combined with --weights, which has its own")
    at = question.get("at", "")
    step = int(at) if at.isdecimal() else None
    return paths(read_network(options["weights"], options.get("text"), at=step, **sizes), **question)


def _add_question(group: Any) -> None:
    group.add_argument(
        "--wrt",
        metavar="NAME",
        help="gradient by: Wx, Wh, b, bx, bh (Wx2: of layer 2), h0, c0 (h0:2), x_3 (default Wx)",
    )
    group.add_argument(
        "--at", metavar="STEP", help="step of the loss: a number, or a name of the last step (default t+1)"
    )
    group.add_argument(
        "--names", metavar="S,Z", help="names of the layers' states, from the bottom up; y=o renames others"
    )


def _add_network(group: Any) -> None:
    group.add_argument("--cell", choices=("rnn", "gru", "lstm"), help="kind of layer (default rnn)")
    group.add_argument("--layers", type=int, metavar="N", help="layers, one above the other (default 2)")
    group.add_argument("--steps", type=int, metavar="N", help="time steps (default 2)")
    group.add_argument("--loss", choices=LOSSES, help="loss, with its output unit (default squared-error)")
    group.add_argument(
        "--activation", choices=("tanh", "relu", "sigmoid", "identity"), help="of the rnn cell"
    )
    group.add_argument(
        "--reset-before", action="store_false", dest="reset_after", help="gru: reset gate before the product"
    )


def _add_numbers(group: Any) -> None:
    for name, what in (("hidden", "units a layer"), ("input", "inputs"), ("output", "outputs")):
        group.add_argument(f"--{name}-size", type=int, metavar="N", help=f"{what} (default 2)")
    group.add_argument("--seed", type=int, metavar="N", help="of the random numbers (default 0)")
    group.add_argument(
        "--weights", type=Path, metavar="FILE", help="model file, run folder, or .json file of numbers"
    )
    group.add_argument("--text", metavar="TEXT", help="what the model reads; its last symbol is the target")


def _add_output(group: Any) -> None:
    group.add_argument(
        "--max-paths",
        type=int,
        metavar="N",
        help=f"list no more than this; count and sum the rest (default {MOST_PATHS})",
    )
    group.add_argument("--factors", action="store_true", help="print the value of every partial derivative")
    group.add_argument("--states", action="store_true", help="print dE/dh of every state, by layer and lag")
    group.add_argument("--latex", type=Path, metavar="FILE", help="write a LaTeX document")
    group.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        action="append",
        help="draw the unfolded network, .svg or .png; may be repeated",
    )
    group.add_argument("--path", type=int, metavar="N", help="draw path N alone")
    group.add_argument("--json", action="store_true", help="print one JSON object")
