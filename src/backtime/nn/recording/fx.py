"""``torch.fx``: a layer is a leaf, as ``torch.nn``'s are, by a node ``call_module``."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.fx import Proxy

from backtime.nn.backends import say_once
from backtime.nn.recording.torchs import beyond, name_of, runs_code_of_its_own
from backtime.nn.validation import CallError


def leaf_of(layer: Any) -> Callable[..., Any]:
    """The call as a node; ``y``, the last state and what is traced are taken from it."""
    return partial(_leaf, layer)


def step_of(cell: Any) -> Callable[..., Any]:
    """The step of a cell as a node."""
    return partial(_step, cell)


def pair(hx: Any) -> tuple[Any, Any]:
    """The state ``(h, c)`` of an LSTM, also where it stands for one in a record."""
    if isinstance(hx, Proxy):
        return hx[0], hx[1]  # type: ignore[index]
    if not isinstance(hx, tuple | list) or len(hx) != 2:
        raise CallError(f"hx is a {type(hx).__name__}; expected the pair (h0, c0)")
    return hx[0], hx[1]


def _leaf(layer: Any, x: Any, hx: Any, lengths: Any, reset: Any, trace: Any, _: bool) -> tuple[Any, ...]:
    _check(layer, x.tracer)  # before the arguments: of a whole model all of them are proxies
    given = {"lengths": lengths, "reset": reset, "trace": trace or None}
    result = _node(layer, x, hx, {name: value for name, value in given.items() if value is not None})
    state = result[1]
    return result[0], (state[0], state[1]) if layer.cell == "lstm" else (state,), result[2] if trace else None


def _step(cell: Any, x: Any, state: Any, _: bool) -> tuple[Any, ...]:
    result = _node(cell, x, state, {})
    return (result[0], result[1]) if cell.cell == "lstm" else (result,)


def _node(module: Any, x: Any, state: Any, given: dict[str, Any]) -> Any:
    hx = state if state is None or module.cell == "lstm" else state[0]
    return leaf(module, *((x,) if hx is None else (x, hx)), **given)


def leaf(module: Any, *arguments: Any, **given: Any) -> Any:
    """The call of a module as a node ``call_module``, as the tracer makes one of a module that it knows."""
    tracer = arguments[0].tracer
    _check(module, tracer)
    return tracer.create_proxy("call_module", tracer.path_of_module(module), arguments, given)


def _check(module: Any, tracer: Any) -> None:
    """Refuses where no such node can be, or where it would not do the same."""
    if not hasattr(tracer, "path_of_module"):
        raise CallError(
            f"{name_of(module)} cannot be recorded by {type(tracer).__name__}; expected a tracer that knows "
            "the model, or torch.nn's layer, by backtime.restore(model)"
        )
    if tracer.root is module:
        raise CallError(
            f"{name_of(module)} is the whole model, for which torch.fx has no node; expected one around it"
        )
    if runs_code_of_its_own(module):  # some of which has run already, and the node would run all of it
        raise CallError(
            f"{name_of(module)} has a forward of its own, which torch.fx would run twice; expected a module "
            "that holds the layer, in place of a subclass of it"
        )
    if module._forward_hooks or module._forward_pre_hooks:  # which have run already, and would run again
        raise CallError(
            f"{name_of(module)} has hooks, which torch.fx records only at torch.nn's layers; "
            "expected none, or backtime.restore(model) first"
        )
    if type(tracer).__name__ == "QuantizationTracer" and beyond(module) is None:
        say_once(
            f"torch.nn.{type(module).__name__} instead of the engine: quantization by torch.fx puts it in "
            f"place of {name_of(module)} in the model itself, on the same parameters; "
            "backtime.accelerate(model) undoes that"
        )
