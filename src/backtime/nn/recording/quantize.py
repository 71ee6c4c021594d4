"""Quantization by type: it looks for exactly ``torch.nn.LSTM``, so a layer becomes that where it is wanted.

``quantize_dynamic``, ``prepare`` and ``prepare_qat`` go through a model (a copy of it, unless told
otherwise), and give each module the configuration that its type has in a table. Before they look at a layer
of ours that ``torch.nn`` could be, it is made ``torch.nn``'s. One with options stays in floats, and a warning
says so. ``convert`` and ``from_float`` are handed ``torch.nn``'s layer on the same parameters.
"""

import warnings
from functools import wraps
from typing import Any

from torch.nn.utils.parametrize import is_parametrized

from backtime.errors import UsageError
from backtime.nn.amend import when_loaded
from backtime.nn.recording.torchs import as_torchs, beyond, class_of, make_torchs, name_of

QUANTIZER = "torch.ao.quantization.quantize"
FROM_FLOATS = tuple(
    f"torch.ao.nn.{kind}.modules.rnn" for kind in ("quantizable", "quantized.dynamic", "quantized.reference")
)
NUMERIC_SUITE = "torch.ao.ns._numeric_suite"


def take_in(*kinds: type) -> None:
    """From now on modules of these ``kinds`` are quantized as ``torch.nn``'s are."""
    when_loaded(QUANTIZER, lambda quantizer: _amend(quantizer, kinds))
    when_loaded(NUMERIC_SUITE, lambda suite: _amend_comparison(suite, kinds))
    for name in FROM_FLOATS:
        when_loaded(name, lambda module: _amend_from_float(module, kinds))


def _amend(quantizer: Any, kinds: tuple[type, ...]) -> None:
    """A later PyTorch may have no such functions: the layers then stay in floats, without a word."""
    _amend_propagation(quantizer, kinds)
    swap = getattr(quantizer, "swap_module", None)
    if swap is None:
        return

    @wraps(swap)
    def swap_torchs(module: Any, mapping: Any, *rest: Any, **named: Any) -> Any:
        asked = isinstance(module, kinds) and getattr(module, "qconfig", None) is not None
        if asked and class_of(module) in mapping and obstacle(module) is None:
            module = as_torchs(module)
        return swap(module, mapping, *rest, **named)

    quantizer.swap_module = swap_torchs


def _amend_propagation(quantizer: Any, kinds: tuple[type, ...]) -> None:
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
    more = obstacle(module)
    if more is None:
        make_torchs(module)
        return
    warnings.warn(
        f"{name_of(module)} {prefix!r} stays in floats: quantization knows torch.nn's layers alone, "
        f"and it has {more}",
        stacklevel=2,
    )


def obstacle(module: Any) -> str | None:
    """Why a layer or cell cannot be quantized as ``torch.nn``'s; None where it can."""
    return "parametrizations" if is_parametrized(module) else beyond(module)


def _amend_from_float(module: Any, kinds: tuple[type, ...]) -> None:
    """Each class of a module that is made from a layer in floats; some look at its weights alone."""
    for made in vars(module).values():
        if isinstance(made, type) and made.__module__ == module.__name__ and "from_float" in vars(made):
            made.from_float = classmethod(_from_torchs(vars(made)["from_float"].__func__, kinds))  # type: ignore[attr-defined]


def _from_torchs(from_float: Any, kinds: tuple[type, ...]) -> Any:
    @wraps(from_float)
    def from_torchs(cls: Any, layer: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(layer, kinds):
            more = obstacle(layer)
            if more is not None:
                raise UsageError(
                    f"{cls.__name__}.from_float knows torch.nn's layers alone, and {name_of(layer)} has "
                    f"{more}; expected a layer without"
                )
            layer = as_torchs(layer)
        return from_float(cls, layer, *rest, **named)

    return from_torchs


def _amend_comparison(suite: Any, kinds: tuple[type, ...]) -> None:
    """The older numeric suite compares a model in floats with its int8 twin where a list of types says."""
    stubs = getattr(suite, "prepare_model_with_stubs", None)
    if stubs is None:
        return

    @wraps(stubs)
    def stubs_at_ours(in_floats: Any, quantized: Any, types: Any, *rest: Any, **named: Any) -> None:
        ours = {type(one) for one in in_floats.modules() if isinstance(one, kinds) and class_of(one) in types}
        stubs(in_floats, quantized, {*types, *ours}, *rest, **named)

    suite.prepare_model_with_stubs = stubs_at_ours
