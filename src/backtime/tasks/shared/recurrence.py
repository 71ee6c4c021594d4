"""The three recurrence patterns, for the tasks that have a choice: ``--recurrence hidden|output|last``.

hidden   the state recurs, and an output at every step has a loss
output   the output recurs, and is given in training: no step waits for another (docs/jordan.md)
last     the state recurs, and the last output alone has a loss
"""

from typing import Any

from backtime.errors import UsageError
from backtime.fields import flag
from backtime.models.file import ModelFile

PATTERNS = ("hidden", "output", "last")

# What a network without a recurrent state can have, and why nothing else.
OF_OUTPUTS: dict[str, tuple[Any, str]] = {
    "cell": ("rnn", "--cell rnn"),
    "layers": (1, "--layers 1, and --output-layers above it"),
    "layer_norm": (False, "no --layer-norm"),
    "init": ("torch", "no --init, which is of states that recur"),
    "flow_every": (None, "no --flow-every: no gradient goes through time"),
}


def check_output_recurrence(settings: Any) -> None:
    """Raise ``UsageError`` where settings with ``--recurrence output`` ask for what needs a state."""
    if settings.recurrence != "output":
        return
    for name, (value, expected) in OF_OUTPUTS.items():
        given = getattr(settings, name)
        if given != value:
            words = flag(name) if given is True else f"{flag(name)} {given}"
            raise UsageError(f"--recurrence output with {words}; expected {expected}")


def check_start(settings: Any, start: ModelFile | None) -> None:
    """Raise ``UsageError`` where the state of ``--init-from`` recurs and the settings' does not."""
    if start is not None and settings.recurrence == "output" and not _recurs(start):
        raise UsageError("--recurrence output conflicts with the state of --init-from, which recurs")


def fixed_recurrence(start: ModelFile) -> dict[str, Any]:
    """What ``--init-from`` leaves no choice about; where the loss is is no matter of the network."""
    return {"recurrence": "output"} if _recurs(start) else {}


def _recurs(start: ModelFile) -> bool:
    """Whether the output recurs."""
    return bool(getattr(start.config, "output_recurrence", False))
