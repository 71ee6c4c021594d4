"""The cells with their options, composed of PyTorch's operations: what a user writes who has no kernel.

The product with the input is made for all steps at once; then comes a Python loop over the steps, with
autograd behind it. Weights and options are those of ``backtime.kernels``, as tensors.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.peers import GATES

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda z: z}
Named = dict[str, Tensor]  # by the fields of Weights, without those that are None


def layer(cell: str, x: Tensor, w: Named, options: dict[str, Any]) -> Tensor:
    """y (T, B, P) from a state of zeros; equations as in ``reference``."""
    zx = _normal(x @ w["Wx"].T, w, "gx") + w["bx"]
    h = x.new_zeros(x.shape[1], w["Wh"].shape[1])
    c = x.new_zeros(x.shape[1], w["Wh"].shape[0] // GATES.get(cell, 1))
    outputs = []
    for t in range(len(x)):
        if "reset" in options:
            keep = ~options["reset"][t][:, None]
            h, c = h * keep, c * keep
        inner = h * options["h_mask"] if "h_mask" in options else h
        zh = _normal(inner @ w["Wh"].T, w, "gh") + w["bh"]
        h, c = CELLS[cell](zx[t], zh, h, c, w, options, t)
        outputs.append(h)
    return torch.stack(outputs)


def _normal(z: Tensor, w: Named, gain: str) -> Tensor:
    return functional.layer_norm(z, z.shape[-1:], w[gain]) if gain in w else z


def _kept(name: str, new: Tensor, old: Tensor, options: dict[str, Any], t: int) -> Tensor:
    if name not in options:
        return new
    keep = options[name]
    return new + (keep[t] if isinstance(keep, Tensor) else keep) * (old - new)


def _rnn(zx: Tensor, zh: Tensor, h: Tensor, c: Tensor, w: Named, options: dict[str, Any], t: int) -> Any:
    new = ACTIVATIONS[options.get("activation", "tanh")](zx + zh)
    return _kept("keep_h", new, h, options, t), c


def _jordan(zx: Tensor, zh: Tensor, h: Tensor, c: Tensor, w: Named, options: dict[str, Any], t: int) -> Any:
    hidden = ACTIVATIONS[options.get("activation", "tanh")](zx + zh)
    output = ACTIVATIONS[options.get("output_activation", "identity")]
    return output(hidden @ w["Wy"].T + w["by"]), c


def _gru(zx: Tensor, zh: Tensor, h: Tensor, c: Tensor, w: Named, options: dict[str, Any], t: int) -> Any:
    xr, xz, xn = zx.chunk(3, 1)
    hr, hz, hn = zh.chunk(3, 1)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    n = torch.tanh(xn + r * hn)
    return _kept("keep_h", n + z * (h - n), h, options, t), c


def _lstm(zx: Tensor, zh: Tensor, h: Tensor, c: Tensor, w: Named, options: dict[str, Any], t: int) -> Any:
    i, f, g, o = (zx + zh).chunk(4, 1)
    if "p" in w:
        i, f = i + w["p"][0] * c, f + w["p"][1] * c
    i = torch.sigmoid(i)
    f = 1 - i if options.get("coupled") else torch.sigmoid(f)
    new_c = f * c + i * torch.tanh(g)
    o = torch.sigmoid(o + w["p"][2] * new_c if "p" in w else o)
    shown = _normal(new_c, w, "gc") + w["bc"] if "gc" in w else new_c
    new_h = o * torch.tanh(shown)
    if "Wy" in w:
        new_h = new_h @ w["Wy"].T
    return _kept("keep_h", new_h, h, options, t), _kept("keep_c", new_c, c, options, t)


CELLS = {"rnn": _rnn, "gru": _gru, "lstm": _lstm, "jordan": _jordan}
