"""``insight.flow`` beside T autograd passes: the gradient of every step's loss at every earlier step.

``python -m benchmarks.flow`` unrolls a layer (T = 256, H = 128, B = 16) with torch.nn's cell and asks
autograd for what flow gives, one pass for each step's loss, each from that loss back to the start and no
further: first dE_t/dh_s alone, then that and what every lag adds to every weight's gradient, for which each
step gets its own copy of the weights. The numbers are compared before flow is timed.

``--threads 1`` counts the time of the processor in place of the clock's: other programs on a busy machine
do not count.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from backtime import nn
from backtime.insight import flow

CELLS = {
    "rnn": lambda x, s, w: (torch._VF.rnn_tanh_cell(x, s[0], *w),),
    "gru": lambda x, s, w: (torch._VF.gru_cell(x, s[0], *w),),
    "lstm": lambda x, s, w: torch._VF.lstm_cell(x, s, *w),
}


def unroll(layer: nn.LSTM, x: Tensor, weights: list[list[Tensor]]) -> list[Tensor]:
    """h of every step."""
    zeros = x.new_zeros(x.shape[1], layer.hidden_size)
    state, h = (zeros, zeros) if layer.cell == "lstm" else (zeros,), []
    for row, own in zip(x, weights, strict=True):
        state = CELLS[layer.cell](row, state, own)
        h.append(state[0])
    return h


def passes(layer: nn.LSTM, x: Tensor, signs: Tensor) -> Tensor:
    """log10 of the mean norm of dE_t/dh_{t-k}, (K,), by one autograd pass for each loss."""
    T, B = x.shape[:2]
    h = unroll(layer, x, [layer.all_weights[0]] * T)
    total = torch.zeros(T, dtype=torch.float64)
    for t in range(T):
        grads = torch.autograd.grad((h[t] * signs[t]).sum(), h[: t + 1], retain_graph=True)
        total[: t + 1] += torch.stack(grads).norm(dim=-1).double().sum(1).flip(0)
    return (total / (B * torch.arange(T, 0, -1))).log10()


def passes_with_weights(layer: nn.LSTM, x: Tensor, signs: Tensor) -> Tensor:
    """The share of each lag in the gradient of Wh, (K,); the other weights' are asked for as well."""
    T = len(x)
    copies = [[w.detach().clone().requires_grad_() for w in layer.all_weights[0]] for _ in range(T)]
    h = unroll(layer, x, copies)
    lags = [[torch.zeros_like(w) for w in copies[0]] for _ in range(T)]
    for t in range(T):
        leaves = [w for own in copies[: t + 1] for w in own]
        found = torch.autograd.grad((h[t] * signs[t]).sum(), h[: t + 1] + leaves, retain_graph=True)
        for s in range(t + 1):
            for n, total in enumerate(lags[t - s]):
                total += found[t + 1 + len(lags[0]) * s + n]
    whole = torch.stack([own[1] for own in lags]).sum(0)
    return torch.stack([(own[1] * whole).sum() for own in lags]) / whole.square().sum()


def seconds(work: Callable[[], object]) -> float:
    """Of the clock; of the processor where there is one thread."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def measure(cell: str, T: int, B: int, H: int, rounds: int) -> None:
    """Flow runs twice for each of the passes, before and after; the median of each is told."""
    torch.manual_seed(0)
    layer, x = getattr(nn, cell.upper())(H, H), torch.randn(T, B, H)
    signs = torch.randint(0, 2, (T, B, H)) * 2.0 - 1.0

    def loss(output: tuple[Tensor, Tensor]) -> Tensor:
        return (output[0] * signs).sum()

    compare(layer, x, signs)
    for what, theirs, contributions in (
        ("dE_t/dh_s", passes, False),
        ("and every weight's lags", passes_with_weights, True),
    ):
        ours = partial(flow, layer, x, loss, contributions=contributions)
        slow, quick = [], []
        for _ in range(rounds):
            quick.append(seconds(ours))
            slow.append(seconds(partial(theirs, layer, x, signs)))
            quick.append(seconds(ours))
        told(cell, what, statistics.median(slow), statistics.median(quick))


def told(cell: str, what: str, slow: float, quick: float) -> None:
    print(f"{cell:<5} {what:<24} T passes {slow:6.2f} s   flow {quick:5.2f} s   {slow / quick:.1f} times")


def compare(layer: nn.LSTM, x: Tensor, signs: Tensor) -> None:
    """Flow with the passes; of the lags of each weight on the first 64 steps, as the passes take long."""
    found = flow(layer, x, lambda output: (output[0] * signs).sum(), contributions=False)
    check(passes(layer, x, signs).numpy(), found.levels[0].log_mean)
    some, own = x[:64], signs[:64]
    shares = flow(layer, some, lambda output: (output[0] * own).sum()).parameters[1].lag_share
    np.testing.assert_allclose(shares, passes_with_weights(layer, some, own).numpy(), atol=1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("steps", 256), ("batch", 16), ("hidden", 128), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["lstm", "gru", "rnn"])
    parser.add_argument("--threads", type=int, help="of torch and the engine (default: as they are set)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    sizes = f"T = {args.steps}, B = {args.batch}, I = H = {args.hidden}"
    print(f"{sizes}, float32, {torch.get_num_threads()} threads")
    for cell in args.cells:
        measure(cell, args.steps, args.batch, args.hidden, args.rounds)


def check(right: np.ndarray, found: np.ndarray) -> None:
    """Both in float32: they may differ by rounding, and where 1e-30 of a gradient is left by underflow."""
    there = right > right[0] - 20
    worst = np.abs(found - right)[there].max()
    if not worst < 1e-3:
        raise SystemExit(f"flow and autograd differ by {worst:.2g} decades: nothing is timed")


if __name__ == "__main__":
    main()
