"""``torch.jit.script``: it reads the source of ``forward``, and of these layers it could not."""

from typing import Any

from backtime.errors import UsageError
from backtime.nn import backends
from backtime.nn.recording.torchs import as_torchs, beyond, class_of, name_of


def prepared(module: Any) -> Any:
    """``torch.nn``'s layer on the same parameters; PyTorch puts it into the model that it scripts.

    Raises ``UsageError`` where ``torch.nn`` has not what the layer does.
    """
    more = beyond(module)
    if more is not None:
        raise UsageError(
            f"torch.jit.script knows torch.nn's layers alone, and {name_of(module)} has {more}; expected "
            "torch.jit.trace, or a layer that backtime.restore can make torch.nn's"
        )
    theirs = f"torch.nn.{class_of(module).__name__}"
    backends.say_once(
        f"{theirs} instead of the engine: torch.jit.script has put it in place of {name_of(module)} in the "
        "model, on the same parameters; backtime.accelerate(model) undoes that"
    )
    return as_torchs(module)
