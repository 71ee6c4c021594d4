"""The likeliest tags of a sentence, and how likely each is, when tags that follow each other have a score."""

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


def marginals(z: NDArray[np.float64], field: Field | None) -> NDArray[np.float64]:
    """The probabilities (T, L) of the tags at each word, of scores z (T, L) of one sentence.

    With a field p_t = softmax(a_t + b_t), by the forward-backward algorithm: a_t[y] is the logarithm of the
    sum of exp(score) over all ways to tag y of word t, with its own score, and b_t[y] over all ways from it.
    """
    if field is None:
        return _softmax(z)
    ahead, back = [field.first + z[0]], [field.last.astype(np.float64)]
    for t in range(1, len(z)):
        ahead.append(z[t] + np.logaddexp.reduce(ahead[-1][:, None] + field.transitions, 0))
        back.append(np.logaddexp.reduce(field.transitions + z[-t] + back[-1], 1))
    return _softmax(np.array(ahead) + np.array(back[::-1]))


def _softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.exp(z - z.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return shares
