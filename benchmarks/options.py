"""What each option of a layer costs: a training step, over the plain cell and over composed PyTorch."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from backtime import UsageError, kernels
from backtime.reference.weights import Weights
from benchmarks import common, composed
from benchmarks.option_cases import OPTIONS, make_options, make_weights

SHAPES = [(16, 50, 64), (64, 50, 256)]  # B, T, I = H
SLACK = 1e-6  # beside twice the peer's error, for results that it happens to hit: some sixteen roundings
HEAD = ["cell B,T,H option", "kernels ms", "over plain", "composed ms", "composed/kernels"]
NOTES = """\
Median milliseconds of a training step (forward and backward, float32, I = H) of `backtime.kernels`; over
plain is its time over that of the cell without the option. composed is the same cell as a Python loop over
PyTorch's operations under autograd. Zoneout keeps a tenth (h) or half (c) of the state by masks of 0 and 1,
the h mask and weight drop leave out a third, leak keeps 0.3, the projection halves h, reset begins a sequence
in every twentieth row. Before timing, no result was further from float64 than twice PyTorch's float32 and
{slack:.0e}, as root mean squares over that of the result."""
Call = Callable[[], list[Any]]


def native_side(cell: str, option: str, T: int, B: int, H: int) -> Call:
    """y, dx and the gradients of the weights, in the order of ``Weights``."""
    arrays, options = make_weights(cell, option, H), make_options(option, T, B, H)
    if missing := set(arrays) - set(Weights._fields):
        raise UsageError(f"Weights has no {', '.join(sorted(missing))}")
    x, dy = _data(T, B, H, arrays)
    mask = _drop(option, arrays["Wh"])

    def run() -> list[Any]:
        dropped = {**arrays, "Wh": arrays["Wh"] * mask} if mask is not None else arrays
        y, _, tape = kernels.forward(cell, x, None, Weights(**dropped), backend="native", **options)
        found = kernels.backward(tape, dy, None, last_use=True)
        grads = {name: dw for name, dw in found.dweights._asdict().items() if dw is not None}
        if mask is not None:
            grads["Wh"] *= mask
        return [y, found.dx, *(grads[name] for name in arrays)]

    return run


def composed_side(cell: str, option: str, T: int, B: int, H: int, dtype: torch.dtype = torch.float32) -> Call:
    """The same results from PyTorch's operations."""
    arrays = make_weights(cell, option, H)
    options = {name: _tensor(value, dtype) for name, value in make_options(option, T, B, H).items()}
    x, dy = (torch.from_numpy(a).to(dtype) for a in _data(T, B, H, arrays))
    weights = {name: torch.from_numpy(a).to(dtype).requires_grad_() for name, a in arrays.items()}
    mask = _tensor(_drop(option, arrays["Wh"]), dtype)
    x.requires_grad_()

    def run() -> list[Any]:
        dropped = {**weights, "Wh": weights["Wh"] * mask} if mask is not None else weights
        y = composed.layer(cell, x, dropped, options)
        return [y.detach(), *torch.autograd.grad(y, [x, *weights.values()], dy)]

    return run


def _data(T: int, B: int, H: int, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    x = random.standard_normal((T, B, H), np.float32)
    return x, random.standard_normal((T, B, arrays["Wh"].shape[1]), np.float32)


def _drop(option: str, Wh: np.ndarray) -> np.ndarray | None:
    if option != "weight drop":
        return None
    return (np.random.default_rng(4).random(Wh.shape) < 2 / 3).astype(np.float32) * np.float32(1.5)


def _tensor(value: Any, dtype: torch.dtype) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    found = torch.from_numpy(value)
    return found.to(dtype) if found.is_floating_point() else found


def check(name: str, results: list[Any], peer: list[Any], truth: list[Any]) -> None:
    """Refuse to time results further from the truth than twice the peer's, as root mean squares.

    Layer norm divides by a deviation that may be small: the largest error is then the luck of one rounding.
    """
    for i, (found, theirs, exact) in enumerate(zip(results, peer, truth, strict=True)):
        error, allowed = (_distance(one, np.asarray(exact, np.float64)) for one in (found, theirs))
        if not error <= 2 * allowed + SLACK:
            raise SystemExit(
                f"{name}: result {i} is off by {error:.1e}, PyTorch's by {allowed:.1e}; nothing is timed"
            )


def _distance(found: Any, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((np.asarray(found, np.float64) - exact) ** 2) / np.mean(exact**2)))


def measure(cell: str, shape: tuple[int, int, int], seconds: float) -> list[list[str]]:
    """The lines of a cell at one shape; an option that the engine lacks is a line of dashes."""
    B, T, H = shape
    plain, rows = native_side(cell, "plain", T, B, H), []
    for option in OPTIONS[cell]:
        name = f"{cell} {B},{T},{H} {option}"
        try:
            sides = {"kernels": native_side(cell, option, T, B, H), "plain": plain}
            results = sides["kernels"]()
        except UsageError as error:
            print(f"{name}: not on the engine: {error}", file=sys.stderr)
            rows.append([name, *"----"])
            continue
        sides["composed"] = composed_side(cell, option, T, B, H)
        truth = composed_side(cell, option, T, B, H, torch.float64)()
        check(name, results, sides["composed"](), truth)
        found = common.medians(sides, seconds)
        ours = found["kernels"]
        rows.append([name, f"{common.ms(ours)}", f"{ours / found['plain']:.2f}"])
        rows[-1] += [f"{common.ms(found['composed'])}", f"{found['composed'] / ours:.2f}"]
    return rows


def main() -> None:
    args = common.parser(__doc__).parse_args()
    common.use_threads(args.threads)
    seconds = args.seconds or (0.05 if args.quick else 0.5)
    rows = []
    for cell in OPTIONS:
        if cell not in kernels.CELLS:
            print(f"options: there is no cell {cell}", file=sys.stderr)
            continue
        for shape in SHAPES[:1] if args.quick else SHAPES:
            rows += measure(cell, shape, seconds)
    common.report("Options", NOTES.format(slack=SLACK), common.table(HEAD, rows), args.write)


if __name__ == "__main__":
    main()
