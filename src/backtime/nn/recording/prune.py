"""Structured pruning: it makes ``torch.nn.LSTM`` smaller, by writing smaller weights into it.

It finds the layer by its exact type, in the graph of ``torch.fx``. So a layer that it is asked to prune
becomes ``torch.nn``'s in the model, on the same parameters. One that ``torch.nn`` has not is refused: the
tool knows nothing of the weights that options add. Masks (``torch.nn.utils.prune``) need nothing of this.
"""

from functools import wraps
from typing import Any

from backtime.errors import UsageError
from backtime.nn import backends
from backtime.nn.amend import when_loaded
from backtime.nn.recording.torchs import beyond, class_of, make_torchs, name_of

PRUNER = "torch.ao.pruning._experimental.pruner.base_structured_sparsifier"


def take_in(*kinds: type) -> None:
    """From now on modules of these ``kinds`` are pruned as ``torch.nn``'s are."""
    when_loaded(PRUNER, lambda pruner: _amend(pruner.BaseStructuredSparsifier, kinds))


def _amend(sparsifier: Any, kinds: tuple[type, ...]) -> None:
    prepare = sparsifier._prepare

    @wraps(prepare)
    def prepare_torchs(self: Any, *rest: Any, **named: Any) -> Any:
        wanted = [one for one in (group["module"] for group in self.groups) if isinstance(one, kinds)]
        _check(wanted)
        for module in wanted:
            if isinstance(module, kinds):  # a layer is there once for each of its weights
                _make_torchs(module)
        return prepare(self, *rest, **named)

    sparsifier._prepare = prepare_torchs


def _check(modules: list[Any]) -> None:
    """All of them first: a refused model stays as it is."""
    for module in modules:
        more = beyond(module)
        if more is not None:
            raise UsageError(
                f"structured pruning knows torch.nn's layers alone, and {name_of(module)} has {more}; "
                "expected a layer without, or torch.nn.utils.prune"
            )


def _make_torchs(module: Any) -> None:
    backends.say_once(
        f"torch.nn.{class_of(module).__name__} instead of the engine: structured pruning has put it in place "
        f"of {name_of(module)} in the model itself, on the same parameters; backtime.accelerate(model) "
        "undoes that"
    )
    make_torchs(module)
