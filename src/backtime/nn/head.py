"""Output layer and loss in one operation, which never stores the (R, V) logits."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import Function
from torch.fx import Proxy
from torch.nn import functional

import backtime.kernels as kernels
from backtime.errors import UsageError
from backtime.nn import validation
from backtime.nn.backends import obstacle, recorded, transformed
from backtime.nn.backends.memory import capsule
from backtime.nn.forks import serial_in_a_child
from backtime.nn.recording import fx

if kernels.available():
    import backtime._engine as _engine

Gradients = tuple[Tensor, Tensor, Tensor]  # of h, weight and bias


class SoftmaxCrossEntropy(nn.Module):
    """Mean of -log softmax(Wy h + by)[target] over all rows, in nats; in place of Linear and cross_entropy.

    Parameters ``weight`` (V, H) and ``bias`` (V,), named, shaped and initialised as ``torch.nn.Linear``'s.
    Raises ``UsageError`` (a ``ValueError``) naming the argument that does not fit.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        hidden_size: int,
        vocabulary_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Draw the initial weights."""
        super().__init__()
        validation.check_sizes(hidden_size=hidden_size, vocabulary_size=vocabulary_size)
        validation.check_dtype(dtype)
        self.hidden_size, self.vocabulary_size = hidden_size, vocabulary_size
        self.weight = nn.Parameter(torch.empty(vocabulary_size, hidden_size, device=device, dtype=dtype))
        parameter = nn.Parameter(torch.empty(vocabulary_size, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", parameter)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw from U(-1/sqrt(H), 1/sqrt(H)), the weight by the same call as torch.nn.Linear."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self.hidden_size)
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, h: Any, targets: Any) -> Any:
        """The mean loss (scalar, nats) of outputs ``h`` (..., H) at integers ``targets`` (...) in [0, V)."""
        if isinstance(h, Proxy):
            return fx.leaf(self, h, targets)
        self._check(h, targets)
        with serial_in_a_child():
            rows, wanted = h.reshape(-1, self.hidden_size), targets.reshape(-1)
        if obstacle(h) is not None or recorded() or transformed(h, self.weight):
            return _composed(rows, self.weight, self.bias, wanted)
        if torch.is_grad_enabled():
            return _Loss.apply(rows, self.weight, self.bias, wanted)  # type: ignore[no-untyped-call]
        return _losses(False, rows, self.weight, self.bias, wanted)[0]

    def __prepare_scriptable__(self) -> Any:
        """``torch.jit.script`` reads the source of ``forward``, which it could not here."""
        raise UsageError(
            "torch.jit.script cannot read backtime.nn.SoftmaxCrossEntropy; expected torch.jit.trace, or "
            "torch.nn.Linear with cross_entropy"
        )

    def logits(self, h: Tensor) -> Tensor:
        """``h`` Wy^T + by, (..., V)."""
        return functional.linear(h, self.weight, self.bias)

    def _check(self, h: Tensor, targets: Tensor) -> None:
        validation.check_tensor("h", h, self.weight)
        if not h.is_floating_point() or h.ndim < 1 or h.shape[-1] != self.hidden_size:
            came = f"{h.dtype} of shape {validation.shape(h)}"
            raise UsageError(
                f"h is {came}; expected floats (..., H) with H = hidden_size = {self.hidden_size}"
            )
        validation.check_tensor("targets", targets, self.weight)
        if targets.is_floating_point():
            raise UsageError(f"targets is {targets.dtype}; expected integers")
        if targets.shape != h.shape[:-1]:
            raise UsageError(
                f"targets has shape {validation.shape(targets)}; expected {validation.shape(h)[:-1]} as h has"
            )
        if not targets.numel():
            raise UsageError(f"targets has shape {validation.shape(targets)}; expected at least one row")

    def extra_repr(self) -> str:
        """The sizes, as torch.nn.Linear prints its own."""
        return f"{self.hidden_size}, {self.vocabulary_size}, bias={self.bias is not None}"


class _Loss(Function):
    """The loss; its gradients for an upstream gradient of 1 are found in the same pass as the loss itself."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        loss, ctx.gradients = _losses(any(ctx.needs_input_grad), h, weight, bias, targets)
        ctx.save_for_backward(h, weight, bias, targets)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        if torch.is_grad_enabled() or transformed(upstream):
            return _composed_backward(upstream, saved, ctx.needs_input_grad)
        # autograd keeps what it is given, so the buffers go out once; a retained graph computes them again
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            gradients = _losses(True, *saved)[1]
        need = ctx.needs_input_grad[:3]
        if upstream != 1:
            with serial_in_a_child():
                for gradient in (g for g, wanted in zip(gradients, need, strict=True) if wanted):
                    gradient.mul_(upstream)
        return *[g if wanted else None for g, wanted in zip(gradients, need, strict=True)], None


def _composed(h: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(h, weight, bias), targets.long())


def _composed_backward(
    upstream: Tensor, saved: tuple[Tensor, ...], need: tuple[bool, ...]
) -> tuple[Any, ...]:
    """Gradients that can be differentiated again."""
    with torch.enable_grad():
        loss = _composed(*saved)
    wanted = [t for t, wants in zip(saved, need, strict=True) if wants]
    result = iter(torch.autograd.grad(loss, wanted, upstream, create_graph=torch.is_grad_enabled()))
    return tuple(next(result) if wants else None for wants in need)


def _losses(
    gradient: bool, h: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> tuple[Tensor, Gradients | None]:
    """The mean loss, by the engine, and where asked for its gradients."""
    R, V = len(h), len(weight)
    h, weight = h.contiguous(), weight.contiguous()
    bias = weight.new_zeros(V) if bias is None else bias.contiguous()
    losses = np.empty(R, str(h.dtype).removeprefix("torch."))
    result = (torch.empty_like(h), torch.empty_like(weight), torch.empty_like(bias)) if gradient else None
    loss_of: Any = _engine.softmax_cross_entropy
    try:
        loss_of(
            *map(capsule, (h, weight, bias, targets.long().contiguous())),
            np.full(R, 1 / R, losses.dtype),
            losses,
            *map(capsule, result or (None, None, None)),
        )
    except ValueError:
        validation.check_range("targets", targets, V, "V")
        raise
    mean = losses.mean(dtype=np.float64)  # float64: a million float32 rows still add up
    return torch.tensor(mean, dtype=h.dtype), result
