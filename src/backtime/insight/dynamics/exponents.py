"""Lyapunov exponents along a trajectory, by repeated QR decomposition (Benettin et al. 1980).

    Q_t R_t = J_t Q_{t-1},   lambda_i = mean over t of log |R_t[i, i]|

An orthonormal frame is carried along by the Jacobians; how much its i-th direction is stretched at each
step gives the i-th exponent, in nats a step. Positive: nearby states part, and so do gradients explode. All
strongly negative: the state, and the gradient, is forgotten.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from backtime.errors import UsageError


def lyapunov(jacobians: Iterable[Tensor], count: int | None = None, skip: int = 0) -> Tensor:
    """The ``count`` largest exponents (B, count), nats a step, from Jacobians (B, S, S) in the order of time.

    ``skip`` steps turn the frame towards the directions that grow before anything is measured. A direction
    that a Jacobian kills has the exponent -inf. Raises ``UsageError`` when nothing is left to measure.
    """
    frame, total, steps = None, None, 0
    for number, J in enumerate(jacobians):
        J = J.double()
        if frame is None:
            B, S, _ = J.shape
            generator = torch.Generator().manual_seed(0)
            start = torch.randn(S, min(count or S, S), generator=generator, dtype=torch.float64)
            frame = torch.linalg.qr(start.to(J.device)).Q.expand(B, -1, -1)
            total = J.new_zeros(B, frame.shape[2])
        frame, R = torch.linalg.qr(J @ frame)
        if number >= skip:
            total = total + R.diagonal(dim1=-2, dim2=-1).abs().log()
            steps += 1
    if total is None or not steps:
        raise UsageError(f"jacobians has no step beyond the {skip} skipped; expected at least one")
    found, _ = (total / steps).sort(-1, descending=True)
    return found


def dimension(exponents: Tensor) -> float:
    """The Kaplan-Yorke dimension of one spectrum (S,): how many directions the trajectory fills."""
    total = 0.0
    for k, value in enumerate(exponents.tolist()):
        if total + value < 0:
            return k + total / abs(value) if math.isfinite(value) else float(k)
        total += value
    return float(len(exponents))
