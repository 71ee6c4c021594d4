"""What the recurrent layers of a model did with a batch, and the gradient that the loss hands them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from backtime.errors import UsageError
from backtime.nn import accelerate
from backtime.nn.jordan import Jordan
from backtime.nn.layer import Recurrent
from backtime.nn.types import NAMES, Options

Loss = Callable[[Any], Tensor]


@dataclass
class Recording:
    """A call of a recurrent layer, in the caller's layout; ``dy`` and ``dlast`` are the loss's gradients."""

    name: str  # of the module in the model
    layer: Any  # a backtime.nn layer that shares the parameters' memory
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    y: Any  # Tensor or PackedSequence
    last: tuple[Tensor, ...]
    dy: Tensor | None = None
    dlast: list[Tensor | None] = field(default_factory=list)


def record(module: nn.Module, compute: Callable[[], Any]) -> tuple[list[Recording], float]:
    """Let ``compute`` run ``module`` in eval mode; its recurrent layers' calls, in order, and the loss.

    Raises ``UsageError`` when there is no recurrent layer, or the loss does not depend on one.
    """
    layers = _recurrent_layers(module)
    if not layers:
        raise UsageError(
            f"module is a {type(module).__name__} without a recurrent layer; expected an RNN, GRU or LSTM of "
            "torch.nn or backtime.nn in it"
        )
    calls: list[Recording] = []
    with ExitStack() as stack:
        stack.enter_context(_evaluating(module))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))  # no backward pass in eval mode there
        stack.enter_context(torch.enable_grad())
        for name, layer in layers.items():
            hook = _remember(calls, name)
            stack.callback(layer.register_forward_hook(hook, with_kwargs=True).remove)
        error = _summed(compute())
        _fill_in(calls, error)
    return calls, float(error.detach())


def as_backtime(layer: nn.Module) -> Any:
    """A backtime.nn layer in eval mode with the same parameters, detached; ``layer`` is left as it is."""
    known = (*accelerate.OURS, *accelerate.OURS.values(), Jordan)
    kind = next(kind for kind in type(layer).__mro__ if kind in known)  # not a subclass of the user's
    ours = issubclass(kind, Recurrent)
    twin: Any = object.__new__(kind)
    twin.__dict__.update(layer.__dict__)
    twin._parameters = {}
    for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        twin.__dict__[name] = {}
    if not ours:
        accelerate._adopt(twin)
    names = [name for own in weight_names(layer) for name in own.values()]
    names += [name for name in ("h0", "c0") if ours and twin.settings.learned_state and hasattr(layer, name)]
    for name in names:  # weight norm and parametrizations compute theirs: what counts is the value
        twin.__dict__.pop(name, None)
        twin._parameters[name] = nn.Parameter(getattr(layer, name).detach())
    twin.training = False
    return twin


def weight_names(layer: Any) -> list[dict[str, str]]:
    """Of each layer and direction, its weights' names by field: ``{"Wx": "weight_ih_l0", ...}``."""
    ends = ("", "_reverse") if layer.bidirectional else ("",)
    suffixes = [f"_l{n}{end}" for n in range(layer.num_layers) for end in ends]
    return [
        {f: name + suffix for f, name in NAMES.items() if getattr(layer, name + suffix, None) is not None}
        for suffix in suffixes
    ]


def options_of(layer: Any) -> Options:
    """The options of every layer and direction in eval mode, as the kernels name them."""
    settings = layer.settings
    options = dict(settings.kernel)
    names = ("keep_h", "keep_c") if layer.cell == "lstm" else ("keep_h",)
    options |= {name: share for name, share in zip(names, settings.zoneouts, strict=False) if share}
    return options if settings.leak is None else options | {"keep_h": 1.0 - settings.leak}


def dense(rows: Any, layer: Any, lengths: Any) -> tuple[Tensor, Tensor | None]:
    """Input, output or gradient as (T, B, ...), and the lengths (B,), or None where all are whole."""
    if isinstance(rows, PackedSequence):
        padded, found = pad_packed_sequence(rows)
        return padded, found
    axes = 1 if not rows.is_floating_point() else 2
    if rows.ndim == axes:
        return rows.unsqueeze(1), None
    rows = rows.transpose(0, 1) if layer.batch_first else rows
    return rows, None if lengths is None else torch.as_tensor(lengths)


def _recurrent_layers(module: nn.Module) -> dict[str, nn.Module]:
    kinds: tuple[type[nn.Module], ...] = (nn.RNN, nn.GRU, nn.LSTM, Recurrent)
    return {name or "module": m for name, m in module.named_modules() if isinstance(m, kinds)}


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode, and each part back in the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _remember(calls: list[Recording], name: str) -> Callable[..., Any]:
    def hook(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        y, last = output[:2]
        rows = y.data if isinstance(y, PackedSequence) else y
        parts = last if isinstance(last, tuple) else (last,)
        if not rows.requires_grad:  # frozen weights: the gradient is to arrive here all the same
            rows.requires_grad_()
            for part in parts:
                part.requires_grad_()
        calls.append(Recording(name, as_backtime(layer), args, dict(kwargs), y, tuple(parts)))

    return hook


def _fill_in(calls: list[Recording], error: Tensor) -> None:
    """The gradient of the loss at each call's output and last state."""
    rows = [call.y.data if isinstance(call.y, PackedSequence) else call.y for call in calls]
    wanted = [part for row, call in zip(rows, calls, strict=True) for part in (row, *call.last)]
    if not error.requires_grad:
        raise UsageError("loss does not depend on a recurrent layer; expected one computed from its output")
    found = iter(torch.autograd.grad(error, wanted, allow_unused=True))
    for call in calls:
        call.dy, call.dlast = next(found), [next(found) for _ in call.last]
    if all(d is None for call in calls for d in (call.dy, *call.dlast)):
        raise UsageError("loss does not depend on a recurrent layer; expected one computed from its output")


def _summed(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor):
        raise UsageError(f"loss gave a {type(loss).__name__}; expected a tensor, of one number or of many")
    return loss.sum()


def random_loss(output: Any, seed: int) -> Tensor:
    """The output times signs drawn at random: every direction is asked alike."""
    first = output
    while isinstance(first, tuple | list) and not isinstance(first, PackedSequence):
        first = first[0]
    rows = first.data if isinstance(first, PackedSequence) else first
    if not isinstance(rows, Tensor) or not rows.is_floating_point():
        raise UsageError(
            f"the module gives a {type(first).__name__}; expected floats, or a loss= of its output"
        )
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, rows.shape, generator=generator) * 2 - 1
    return (rows * signs.to(rows)).sum()
