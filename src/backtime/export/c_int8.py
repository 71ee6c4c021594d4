"""Weights of one byte each: each row of a matrix is whole numbers -127 to 127 times one float."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backtime.export.chain import Chain
from backtime.export.trials import Trial
from backtime.models.file import ModelFile
from backtime.reference.weights import Array


def quantised(model: ModelFile) -> ModelFile:
    """The model whose matrices have passed through int8 and back: what the C file with ``int8`` computes."""

    def through(value: Array) -> Array:
        whole, scale = rounded(value)
        back: Array = (whole * scale[:, None]).astype(value.dtype)
        return back

    tensors = {key: through(own) if own.ndim == 2 else own for key, own in model.tensors.items()}
    return model._replace(tensors=tensors)


def rounded(value: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Whole numbers -127 to 127 of a matrix, and for each row the float that they are times."""
    scale = np.maximum(np.abs(value).max(1), 1e-30).astype(np.float32) / np.float32(127)
    return np.rint(value / scale[:, None]).astype(np.int8), scale


def cost(exact: Chain, int8: Chain, trials: Sequence[Trial]) -> list[str]:
    """What int8 costs, on the sequences of each trial."""
    lines = []
    for trial in trials:
        pairs = [(np.atleast_2d(exact.run(x)), np.atleast_2d(int8.run(x))) for x in trial.plain()]
        worst = max(float(np.abs(a - b).max()) for a, b in pairs)
        same = np.mean(np.concatenate([a.argmax(1) == b.argmax(1) for a, b in pairs]))
        lines.append(
            f"int8 {trial.told}: outputs differ by up to {worst:.2g}; the largest output is the same one in "
            f"{same:.1%}"
        )
    return lines
