"""One step of an LSTM from Python, one sequence, the state kept: what a stream of single values costs.

``backtime`` is a stream of ``kernels.Stack``, weights prepared once; ``kernels`` is ``kernels.forward`` of a
single step. Peers: ``torch.nn.LSTM``, ``torch.nn.LSTMCell``, ONNX Runtime.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch

from backtime import kernels
from backtime.reference.weights import Weights
from benchmarks import common

H = 64
STEPS, CHECKED = 200, 20  # steps of a timed call; steps whose h must agree
TOLERANCE = 1e-5  # some tens of roundings of float32 in twenty steps of numbers below 1
HEAD = ["one LSTM step, H = 64", "us", "over backtime"]
NOTES = """\
Median microseconds of one step, B = 1, I = H = {H}, float32, from Python, over calls of {steps} steps. The h
of the first {checked} steps agreed within {tolerance:.0e}."""
Step = Callable[[np.ndarray], np.ndarray]  # x (1, H) to h (1, H); the state is its own


def make_sides(stock: torch.nn.LSTM) -> dict[str, Step]:
    """A step of each side, from a state of zeros."""
    weights = Weights(*(p.detach().numpy() for p in stock.parameters()))
    sides = {
        "backtime": _stack(weights),
        "backtime kernels": _kernels(weights),
        "torch layer": _torch_layer(stock),
        "torch cell": _torch_cell(stock),
    }
    if common.installed("onnxruntime") and common.installed("onnx"):
        sides["ONNX Runtime"] = _onnx(weights)
    else:
        print("onnxruntime is not installed: that row is left out", file=sys.stderr)
    return sides


def _stack(weights: Weights) -> Step:
    return kernels.Stack([weights], "lstm").stream().step


def _kernels(weights: Weights) -> Step:
    kept = {"state": None}

    def step(x: np.ndarray) -> np.ndarray:
        y, kept["state"], _ = kernels.forward("lstm", x[None], kept["state"], weights, save=False)
        return y[0]

    return step


def _torch_layer(stock: torch.nn.LSTM) -> Step:
    kept = {"state": None}

    @torch.inference_mode()
    def step(x: np.ndarray) -> np.ndarray:
        y, kept["state"] = stock(torch.from_numpy(x)[None], kept["state"])
        return y[0].numpy()

    return step


def _torch_cell(stock: torch.nn.LSTM) -> Step:
    cell = torch.nn.LSTMCell(H, H)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in stock.state_dict().items()})
    kept = {"state": None}

    @torch.inference_mode()
    def step(x: np.ndarray) -> np.ndarray:
        kept["state"] = cell(torch.from_numpy(x), kept["state"])
        return kept["state"][0].numpy()

    return step


def _onnx(weights: Weights) -> Step:
    from benchmarks.extra import onnx_node

    session = onnx_node.make_session("lstm", weights, 1)  # two threads have nothing to share in one step
    kept = onnx_node.zero_state("lstm", 1, H)

    def step(x: np.ndarray) -> np.ndarray:
        kept["h0"], kept["c0"] = session.run(["hn", "cn"], {"x": x[None], **kept})
        return kept["h0"][0]

    return step


def check(sides: dict[str, Step], inputs: np.ndarray) -> None:
    """Refuse to time sides whose h differ."""
    for x in inputs:
        h = {name: step(x) for name, step in sides.items()}
        for name in h:
            error = float(np.abs(h[name] - h["torch layer"]).max())
            if not error <= TOLERANCE:
                raise SystemExit(f"h of {name} is off by {error:.1e}; nothing is timed")


def main() -> None:
    args = common.parser(__doc__).parse_args()
    common.use_threads(args.threads)
    torch.manual_seed(1)
    sides = make_sides(torch.nn.LSTM(H, H))
    inputs = np.random.default_rng(1).standard_normal((CHECKED, 1, H), np.float32)
    check(sides, inputs)

    def steps(step: Step) -> common.Side:
        return lambda: [step(inputs[0]) for _ in range(STEPS)]

    seconds = args.seconds or (0.1 if args.quick else 2.0)
    found = common.medians({name: steps(step) for name, step in sides.items()}, seconds)
    rows = [
        [name, f"{time * 1e6 / STEPS:.1f}", f"{time / found['backtime']:.2f}"] for name, time in found.items()
    ]
    notes = NOTES.format(H=H, steps=STEPS, checked=CHECKED, tolerance=TOLERANCE)
    common.report("Streaming", notes, common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
