"""``torch.jit.script``: it reads the source of ``forward``, and of these layers it could not.

It asks a module for what it should read instead (``__prepare_scriptable__``). The class
``torch.jit.ScriptModule``, which scripts itself when it has been made, does not ask: its modules are gone
through here.
"""

from functools import wraps
from typing import Any

from torch.jit import ScriptModule

from backtime.errors import UsageError
from backtime.nn import backends
from backtime.nn.amend import when_loaded
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


def take_in(*kinds: type) -> None:
    """From now on a ``ScriptModule`` may hold modules of these ``kinds``."""
    when_loaded("torch.jit._recursive", lambda recursive: _amend(recursive, kinds))


def _amend(recursive: Any, kinds: tuple[type, ...]) -> None:
    create = recursive.create_script_module

    @wraps(create)
    def create_of_prepared(module: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(module, ScriptModule):
            _prepare_parts(module, kinds, {})
        return create(module, *rest, **named)

    recursive.create_script_module = create_of_prepared


def _prepare_parts(module: Any, kinds: tuple[type, ...], done: dict[Any, Any]) -> None:
    """Puts ``prepared`` modules in place, a module that is there twice once."""
    for name, part in module._modules.items():
        if isinstance(part, kinds):
            if part not in done:
                done[part] = prepared(part)
            module._modules[name] = done[part]
        elif part is not None and not isinstance(part, ScriptModule):  # which has been through this
            _prepare_parts(part, kinds, done)
