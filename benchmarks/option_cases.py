"""The options that the benchmark of options measures: their weights and their keyword arguments."""

from typing import Any

import numpy as np

from benchmarks.peers import GATES

OPTIONS = {
    "lstm": (
        "plain",
        "layer norm",
        "peephole",
        "zoneout h",
        "zoneout c",
        "h mask",
        "weight drop",
        "projection",
        "coupled",
        "reset",
    ),
    "gru": ("plain", "layer norm", "zoneout h", "h mask", "weight drop", "reset"),
    "rnn": ("plain", "relu", "sigmoid", "identity", "layer norm", "leak", "h mask", "weight drop", "reset"),
    "jordan": ("plain", "layer norm", "h mask", "reset"),
}


def make_weights(cell: str, option: str, H: int) -> dict[str, np.ndarray]:
    """The arrays by the fields of ``Weights``."""
    random = np.random.default_rng(1)
    P = H // 2 if option == "projection" else H
    rows = GATES.get(cell, 1) * H
    shapes = {"Wx": (rows, H), "Wh": (rows, P), "bx": (rows,), "bh": (rows,)}
    if option == "projection" or cell == "jordan":
        shapes["Wy"] = (P, H)
    if cell == "jordan":
        shapes["by"] = (P,)
    if option == "peephole":
        shapes["p"] = (3, H)
    found = {name: random.uniform(-1, 1, shape) * H**-0.5 for name, shape in shapes.items()}
    if option == "layer norm":
        found |= {name: random.uniform(0.5, 1.5, rows) for name in ("gx", "gh")}
        if cell == "lstm":
            found |= {"gc": random.uniform(0.5, 1.5, H), "bc": random.uniform(-0.1, 0.1, H)}
    return {name: a.astype(np.float32) for name, a in found.items()}


def make_options(option: str, T: int, B: int, H: int) -> dict[str, Any]:
    """Keyword arguments of ``kernels.forward``."""
    random = np.random.default_rng(2)
    match option:
        case "relu" | "sigmoid" | "identity":
            return {"activation": option}
        case "zoneout h":
            return {"keep_h": (random.random((T, B, H)) < 0.1).astype(np.float32)}
        case "zoneout c":
            return {"keep_c": (random.random((T, B, H)) < 0.5).astype(np.float32)}
        case "leak":
            return {"keep_h": 0.3}
        case "h mask":
            return {"h_mask": (random.random((B, H)) < 2 / 3).astype(np.float32) * np.float32(1.5)}
        case "coupled":
            return {"coupled": True}
        case "reset":
            return {"reset": random.random((T, B)) < 0.05}
    return {}
