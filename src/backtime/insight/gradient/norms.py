"""Norms of rows in single precision that are right for every size of row."""

import torch
from torch import Tensor

SAFE = 1e-15  # norms between this and its inverse come out right in float32, squares and all

SMALL, LARGE = 1e-6, 1e6  # norms beyond these are brought back to 1: squares stay far from float32's ends


def norms(rows: Tensor) -> Tensor:
    """Of the last axis, float64. Sums in the rows' own type are quicker, where no square leaves its range."""
    quick: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    least, most = torch.aminmax(quick)
    found: Tensor = quick.double()
    if not (float(least) > SAFE and float(most) < 1 / SAFE):
        doubtful = ~((quick > SAFE) & (quick < 1 / SAFE))
        found[doubtful] = torch.linalg.vector_norm(rows[doubtful], dim=-1, dtype=torch.float64)
    return found


def within(sizes: Tensor, *, or_zero: bool) -> bool:
    """Whether every norm is in the middle of the number line, or, if that counts, exactly zero."""
    middle = (sizes >= SMALL) & (sizes <= LARGE)
    return bool((middle | (sizes == 0) if or_zero else middle).all())
