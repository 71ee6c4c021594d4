"""What is drawn anew for each call of a layer: masks, by torch's generator, so that a seed repeats them."""

import torch
from torch import Tensor
from torch.nn import functional

from backtime.nn.settings import Settings
from backtime.nn.tensors import Options, Weights


def call_options(
    cell: str, settings: Settings, training: bool, rows: tuple[int, ...], B: int, weights: Weights
) -> Options:
    """The options of one layer and direction; ``rows`` is (T, B), or (R,) of packed rows.

    Zoneout keeps with its probability in training, and in evaluation that share (arXiv 1606.01305).
    Variational dropout has one mask (B, P) for all steps (arXiv 1512.05287).
    """
    P = weights.Wh.shape[1]
    H = P if weights.Wy is None else weights.Wy.shape[1]
    options = dict(settings.kernel)
    parts = [("keep_h", P), ("keep_c", H)] if cell == "lstm" else [("keep_h", P)]
    for (name, width), share in zip(parts, settings.zoneouts, strict=False):
        if share:
            options[name] = _zones(weights.Wx, (*rows, width), share) if training else share
    if settings.leak is not None:
        options["keep_h"] = 1.0 - settings.leak
    if training and settings.recurrent_dropout:
        options["h_mask"] = functional.dropout(weights.Wx.new_ones(B, P), settings.recurrent_dropout)
    return options


def dropped(weights: Weights, share: float) -> Weights:
    """``Wh`` with elements zeroed for the whole sequence, the others scaled (Wan et al. 2013)."""
    return weights._replace(Wh=functional.dropout(weights.Wh, share))


def _zones(like: Tensor, shape: tuple[int, ...], share: float) -> Tensor:
    """1 with probability ``share``, else 0."""
    return torch.rand(shape, dtype=torch.float32, device=like.device).lt(share).to(like.dtype)
