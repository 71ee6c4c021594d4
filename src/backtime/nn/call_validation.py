"""A whole call, looked at where the engine has refused it, or where another path takes it."""

from typing import Any

import torch
from torch import Tensor

from backtime.kernels import GATES
from backtime.nn import wording
from backtime.nn.types import NAMES, Network, PackedRows, Weights
from backtime.nn.validation import CallError, check_floats, check_range, check_shape, check_tensor, shape


def lengths_of(lengths: Any) -> list[int]:
    """As a list; what is in it the call itself will tell."""
    result = lengths.tolist() if hasattr(lengths, "tolist") else lengths
    if isinstance(result, str) or not isinstance(result, list | tuple):
        raise CallError(f"lengths is {lengths!r}; expected whole numbers, one for each sequence")
    return list(result)


def check_call(network: Network, x: Any, state: Any, weights: list[Tensor]) -> None:
    """Every argument of a call of layers, and whether the weights fit one another."""
    like = weights[0]
    _check_input(network, x, like)
    _check_lengths(network, x)
    _check_state(network, x, state, network.each(weights))
    _check_reset(network, x)
    _check_weights(network, weights)
    _check_integers(x, like.shape[-1])


def _check_input(network: Network, x: Any, like: Tensor) -> None:
    check_tensor("input", x, like)
    one_hot, I = not x.is_floating_point(), like.shape[-1]
    axes = x.ndim + one_hot
    forms = _forms(network, one_hot)
    came = f"input has shape {shape(x)}"
    if axes not in forms:
        ours = f"{came}; expected {' or '.join(forms.values())}{_width(I)}"
        raise CallError(f"{wording.input_axes(network, x)}; {ours}")
    if not one_hot and x.shape[-1] != I:
        ours = f"{came}; expected {forms[axes]}{_width(I)}"
        raise CallError(f"{wording.input_width(network, x, I)}; {ours}")
    timed = not network.one_step and not isinstance(network.sequences, PackedRows)
    if timed and not x.shape[1 if network.batch_first and axes == 3 else 0] and x.ndim:
        raise CallError(f"Expected sequence length to be larger than 0 in RNN; {came}; expected T from 1")


def _width(I: int) -> str:
    return f" with I = input_size = {I}"


def _forms(network: Network, one_hot: bool) -> dict[int, str]:
    """The shapes that an input may have, by its number of axes."""
    if isinstance(network.sequences, PackedRows):
        result = {2: "(R, I)"}
    elif network.one_step:
        result = {2: "(B, I)", 1: "(I,)"}
    else:
        result = {3: "(B, T, I)" if network.batch_first else "(T, B, I)", 2: "(T, I)"}
    if not one_hot:
        return result
    return {
        axes: form.replace(", I)", ",)" if form.count(",") == 1 else ")") for axes, form in result.items()
    }


def _check_lengths(network: Network, x: Tensor) -> None:
    lengths = network.sequences
    if not isinstance(lengths, list):
        return
    if x.ndim - x.is_floating_point() != 2:
        form = _forms(network, not x.is_floating_point())[3]
        raise CallError(f"lengths is given with input of shape {shape(x)}; expected {form}")
    T, B = _extent(network, x)
    try:
        result = torch.tensor(lengths) if lengths else torch.zeros(0, dtype=torch.int64)
    except (TypeError, ValueError):
        raise CallError(f"lengths is {lengths!r}; expected {B} whole numbers") from None
    if (
        result.shape != (B,)
        or result.is_floating_point()
        or result.is_complex()
        or result.dtype == torch.bool
    ):
        raise CallError(
            f"lengths is {result.dtype} of shape {shape(result)}; expected integers (B,) = ({B},)"
        )
    if B and (min(lengths) < 0 or max(lengths) > T):
        raise CallError(f"lengths has values from {min(lengths)} to {max(lengths)}; expected 0 to T = {T}")


def _extent(network: Network, x: Tensor) -> tuple[int, int]:
    """(T, B) as the caller has them."""
    rows = network.sequences
    if isinstance(rows, PackedRows):
        B = int(rows.batch_sizes[0]) if rows.B is None else rows.B
        return len(rows.batch_sizes), B
    batched = x.ndim - x.is_floating_point() + network.one_step == 2
    if network.one_step:
        return 1, x.shape[0] if batched else 1
    if not batched:
        return x.shape[0], 1
    return (x.shape[1], x.shape[0]) if network.batch_first else (x.shape[0], x.shape[1])


def sequences_of(network: Network, x: Tensor) -> int | None:
    """B; None of a single sequence without an axis for it."""
    return _extent(network, x)[1] if _batched(network, x) else None


def _batched(network: Network, x: Tensor) -> bool:
    if isinstance(network.sequences, PackedRows):
        return True
    return x.ndim - x.is_floating_point() == (1 if network.one_step else 2)


def _check_state(network: Network, x: Tensor, state: Any, each: list[Weights]) -> None:
    if state is None:
        return
    like, P = each[0].Wx, each[0].Wh.shape[1]
    H = P if each[0].Wy is None else each[0].Wy.shape[1]
    batched, B = _batched(network, x), _extent(network, x)[1]
    letters, sizes = ("(B, H)", (B,)) if batched else ("(H,)", ())
    if not network.one_step:
        letters, sizes = letters.replace("(", "(L, ").replace(",)", ")"), (len(each), *sizes)
    for name, part in zip(("h0", "c0"), state, strict=False):
        check_floats(name, part, like)
    for n, (name, part, width) in enumerate(zip(("h0", "c0"), state, (P, H), strict=False)):
        if shape(part) != (*sizes, width):
            theirs = wording.state_shape(network, state, n, batched, (*sizes, width))
            ours = f"{name} has shape {shape(part)}; expected {letters} = {(*sizes, width)}"
            raise CallError(f"{theirs}; {ours}")


def _check_reset(network: Network, x: Tensor) -> None:
    reset = network.reset
    if reset is None:
        return
    if not isinstance(reset, Tensor) or reset.dtype != torch.bool:
        came = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
        raise CallError(f"reset is {came}; expected torch.bool")
    T, B = _extent(network, x)
    if not _batched(network, x):
        check_shape("reset", reset, "(T,)", (T,))
    elif network.batch_first:
        check_shape("reset", reset, "(B, T)", (B, T))
    elif not (isinstance(network.sequences, PackedRows) and shape(reset) == shape(x)[:1]):
        check_shape("reset", reset, "(T, B)", (T, B))


def _check_integers(x: Tensor, I: int) -> None:
    if x.is_floating_point() or not x.numel() or x.is_meta or torch.compiler.is_compiling():
        return
    if torch._C._len_torch_dispatch_stack() or torch._C._are_functorch_transforms_active():
        return  # whose numbers are not there to be looked at
    check_range("x", x, I, "I")


def _check_weights(network: Network, weights: list[Tensor]) -> None:
    first = network.each(weights)[0]
    P = first.Wh.shape[-1]
    H = P if first.Wy is None else first.Wy.shape[-1]
    width = P if network.sums else P * network.per_layer
    for k, layer_weights in enumerate(network.each(weights)):
        I = first.Wx.shape[-1] if k < network.per_layer else width
        wanted = _shapes(GATES[network.cell] * H, I, H, P)
        for name, value in layer_weights._asdict().items():
            if value is not None and (value.dtype != first.Wx.dtype or shape(value) != wanted[name]):
                raise CallError(
                    f"{_named(network, name, k)} is {value.dtype} of shape {shape(value)}; "
                    f"expected {first.Wx.dtype} of shape {wanted[name]}"
                )


def _shapes(GH: int, I: int, H: int, P: int) -> dict[str, tuple[int, ...]]:
    rows = dict.fromkeys(("bx", "bh", "gx", "gh"), (GH,))
    return {
        "Wx": (GH, I), "Wh": (GH, P), **rows, "Wy": (P, H), "by": (P,), "p": (3, H), "gc": (H,), "bc": (H,)
    }  # fmt: skip


def _named(network: Network, field: str, k: int) -> str:
    """The parameter's name."""
    if network.one_step:
        return NAMES[field]
    return f"{NAMES[field]}_l{k // network.per_layer}{'_reverse' if k % network.per_layer else ''}"
