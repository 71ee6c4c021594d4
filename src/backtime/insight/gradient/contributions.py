"""What each lag adds to the gradient of each weight, and what truncation leaves of it."""

from typing import NamedTuple

import numpy as np
import torch

from backtime.insight.gradient.through_time import Travelled
from backtime.insight.gradient.truncated import TruncatedSums
from backtime.insight.layers.stacks import Stack
from backtime.insight.measures import Floats, Parameter, Truncation


class Piece(NamedTuple):
    """One weight of one level."""

    name: str
    field: str
    dots: Floats  # (K,)
    sums: TruncatedSums


def pieces_of(module: str, stack: Stack, found: Travelled) -> list[Piece]:
    """The weights of a stack of the recurrent module with this name."""
    prefix = "" if module == "module" else f"{module}."
    done = []
    for level, dots, sums in zip(stack.levels, found.dots, found.truncated, strict=True):
        if dots is not None and sums is not None:
            for own, field in zip(dots.T.cpu().numpy(), sums.step.fields, strict=True):
                done.append(Piece(prefix + level.parameters[field], field, own, sums))
    return done


def parameter(piece: Piece) -> Parameter:
    """What is told about one weight."""
    norm = float(piece.sums.full[piece.field].double().norm())
    return Parameter(piece.name, norm, piece.dots / (norm**2 or 1.0), truncation([piece]))


def truncation(pieces: list[Piece]) -> Truncation:
    """Of the gradient that the pieces make up together."""
    lengths = max((piece.sums.lengths for piece in pieces), key=len)
    products = [piece.sums.products(piece.field) for piece in pieces]
    M = 2 * len(lengths)
    dot = sum(_extended(own, M) for own, _ in products)
    norm = np.sqrt(sum(_extended(own, M) ** 2 for _, own in products))
    size = _size(pieces) or 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(norm > 0, dot / (norm * size), 0.0).reshape(2, -1)
    ratio = (norm / size).reshape(2, -1)
    return Truncation(lengths, cosine[0], ratio[0], cosine[1], ratio[1])


def _extended(values: torch.Tensor, M: int) -> Floats:
    """A stack with fewer lags is whole after its last length."""
    halves = values.cpu().numpy().reshape(2, -1)
    return np.pad(halves, ((0, 0), (0, M // 2 - halves.shape[1])), mode="edge").ravel()


def _size(pieces: list[Piece]) -> float:
    norms = [float(piece.sums.full[piece.field].double().norm()) for piece in pieces]
    return float(np.sqrt(np.square(norms).sum()))


def gap(pieces: list[Piece]) -> float | None:
    """|sum over lags - whole gradient| / |whole gradient|."""
    size = _size(pieces)
    return sum(piece.sums.gap(piece.field) ** 2 for piece in pieces) ** 0.5 / size if size else None
