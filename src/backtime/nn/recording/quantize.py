"""Quantization by type: it looks for exactly ``torch.nn.LSTM``, so a layer becomes that where it is wanted.

``quantize_dynamic``, ``prepare`` and ``prepare_qat`` go through a model (a copy of it, unless told
otherwise), and give each module the configuration that its type has in a table. Before they look at a layer
of ours that ``torch.nn`` could be, it is made ``torch.nn``'s. One with options stays in floats, and a warning
says so.
"""

import warnings
from typing import Any

from backtime.nn.amend import when_loaded
from backtime.nn.recording.torchs import beyond, class_of, make_torchs, name_of

QUANTIZER = "torch.ao.quantization.quantize"


def take_in(*kinds: type) -> None:
    """From now on modules of these ``kinds`` are quantized as ``torch.nn``'s are."""
    when_loaded(QUANTIZER, lambda quantizer: _amend(quantizer, kinds))


def _amend(quantizer: Any, kinds: tuple[type, ...]) -> None:
    """A later PyTorch may have no such function: the layers then stay in floats, without a word."""
    propagate = getattr(quantizer, "_propagate_qconfig_helper", None)
    if propagate is None:
        return

    def by_torchs_type(
        module: Any, table: Any, parent: Any = None, prefix: str = "", *rest: Any, **named: Any
    ) -> Any:
        if isinstance(module, kinds):
            _meet(module, table, parent, prefix)
        return propagate(module, table, parent, prefix, *rest, **named)

    quantizer._propagate_qconfig_helper = by_torchs_type


def _meet(module: Any, table: Any, parent: Any, prefix: str) -> None:
    """Makes it ``torch.nn``'s where a configuration waits for it."""
    wanted = table.get(prefix, table.get(class_of(module), parent))
    if wanted is None:
        return
    more = beyond(module)
    if more is None:
        make_torchs(module)
        return
    warnings.warn(
        f"{name_of(module)} {prefix!r} stays in floats: quantization knows torch.nn's layers alone, "
        f"and it has {more}",
        stacklevel=2,
    )
