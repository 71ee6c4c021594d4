"""The likeliest tags of a sentence, when tags that follow each other have a score of their own."""

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from backtime.data.batching.buckets import Packed, unpack
from backtime.reference.weights import Array


class Field(NamedTuple):
    """The scores of tags that follow each other: see ``models.crf.CRF``."""

    first: Array  # (L,)
    transitions: Array  # (L, L), from a row's tag to a column's
    last: Array  # (L,)


def field_of(tensors: Mapping[str, Array]) -> Field:
    """The field of a model file."""
    return Field(*(tensors[f"crf.{name}"] for name in Field._fields))


def best_paths(z: Array, batch_sizes: NDArray[np.int64], field: Field | None) -> list[NDArray[np.int64]]:
    """The tags of each sentence of packed rows of scores z (R, L); without a field of each word alone."""
    each = cast(list[Array], unpack(Packed(z, batch_sizes)))
    if field is None:
        return [own.argmax(1) for own in each]
    return [best_path(own, field) for own in each]


def best_path(z: Array, field: Field) -> NDArray[np.int64]:
    """The tags (T,) whose score is largest; ``z`` (T, L) are the scores of the tags at each word.

    Viterbi's algorithm: the best way to every tag of a step goes on from the best ways to the step before.
    """
    best, came = field.first + z[0], np.zeros(z.shape, np.int64)
    for t in range(1, len(z)):
        ways = best[:, None] + field.transitions
        came[t] = ways.argmax(0)
        best = ways.max(0) + z[t]
    path = np.empty(len(z), np.int64)
    path[-1] = (best + field.last).argmax()
    for t in range(len(z) - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return path
