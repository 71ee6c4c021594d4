"""A training loop as people write it, with the layer of one library: what `own_loop` runs in a process.

Embedding, layer, dropout, linear, cross-entropy, clipping, Adam; or the layer's two passes alone. Nothing is
set but, where asked for, torch.set_num_threads.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LIBRARIES = ("torch", "compiled", "backtime")
COMPARED = 6  # steps whose losses the sides must agree on
PADDED = -100  # the target that cross_entropy leaves out


class Point(NamedTuple):
    """A layer, the shape of its batches, and how it is called."""

    cell: str  # RNN, GRU, LSTM
    B: int
    T: int
    H: int
    layers: int
    V: int
    kind: str = "plain"  # or "lengths": sequences of unequal lengths; or "both": both directions


class Network(nn.Module):
    """What stands around the layer."""

    def __init__(self, point: Point, library: str) -> None:
        """The layer of that library at that point."""
        super().__init__()
        layers: Any = nn
        if library == "backtime":
            from backtime import nn as layers  # type: ignore[no-redef]
        both = point.kind == "both"
        self.library, self.embedding = library, nn.Embedding(point.V, point.H)
        self.layer = getattr(layers, point.cell)(point.H, point.H, point.layers, bidirectional=both)
        self.dropout, self.linear = nn.Dropout(0.1), nn.Linear(point.H * (1 + both), point.V)

    def forward(self, tokens: Tensor, lengths: Tensor | None) -> Tensor:
        """Logits (T, B, V)."""
        x = self.embedding(tokens)
        return self.linear(self.dropout(self.layer(x)[0] if lengths is None else self._ragged(x, lengths)))

    def _ragged(self, x: Tensor, lengths: Tensor) -> Tensor:
        if self.library == "backtime":
            return self.layer(x, lengths=lengths)[0]
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        return pad_packed_sequence(self.layer(packed)[0], total_length=len(x))[0]


def layer_step(point: Point, library: str) -> Callable[[], float]:
    """A step of the layer alone: forward, and backward to its input and weights."""
    layer = Network(point, library).layer
    x = torch.randn(point.T, point.B, point.H, requires_grad=True)
    gradient = torch.randn(point.T, point.B, layer.hidden_size)

    def step() -> float:
        layer.zero_grad()
        x.grad = None
        y = layer(x)[0]
        y.backward(gradient)
        return float(y.detach()[-1, 0, 0])

    return step


class Loop:
    """The whole loop at a point; a call is a step and returns its loss."""

    def __init__(self, point: Point, library: str) -> None:
        """Network, optimiser, and the one batch that all steps see."""
        self.V, self.network = point.V, Network(point, library)
        self.model = torch.compile(self.network) if library == "compiled" else self.network
        self.adam = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        self.tokens = torch.randint(point.V, (point.T, point.B))
        self.targets, self.lengths = torch.randint(point.V, (point.T, point.B)), None
        self.rows = point.T * point.B
        if point.kind == "lengths":
            self.lengths = torch.randint(max(1, point.T // 4), point.T + 1, (point.B,))
            self.targets[torch.arange(point.T)[:, None] >= self.lengths] = PADDED
            self.rows = int(self.lengths.sum())

    def __call__(self) -> float:
        """A step."""
        self.adam.zero_grad()
        logits = self.model(self.tokens, self.lengths).view(-1, self.V)
        loss = nn.functional.cross_entropy(logits, self.targets.view(-1), ignore_index=PADDED)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.adam.step()
        return loss.item()


def run(step: Callable[[], float], seconds: float) -> dict[str, Any]:
    """Losses of the first steps; of the later ones milliseconds, processors used, new pages a step."""
    losses = [step() for _ in range(COMPARED)]
    times, cpu, faults, start = [], time.process_time(), _faults(), time.perf_counter()
    while (now := time.perf_counter()) - start < seconds or len(times) < 3:
        step()
        times.append(time.perf_counter() - now)
    used = (time.process_time() - cpu) / (time.perf_counter() - start)
    pages = (_faults() - faults) / len(times)
    times = [1e3 * spent for spent in sorted(times)]
    slow = times[-max(1, len(times) // 100)]
    found = {"ms": statistics.median(times), "mean": statistics.fmean(times), "slow": slow}
    return {"losses": losses, "processors": used, "pages": round(pages, 1), **found}


def _faults() -> int:
    """Pages of memory that this process has taken from the system so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def run_inside(loop: Loop, seconds: float) -> dict[str, float]:
    """Milliseconds of a step, and of it inside the layer; its rows; GFLOP/s that its threads can issue."""
    from benchmarks.inside import Inside  # both import backtime, which the process of another side must not
    from benchmarks.peak import peak_gflops

    inside = Inside(loop.network)

    def step() -> tuple[float, float]:
        before, start = inside.forward + inside.backward, time.perf_counter()
        loop()
        return time.perf_counter() - start, inside.forward + inside.backward - before

    start, pairs = time.perf_counter(), [step() for _ in range(COMPARED)]
    while time.perf_counter() - start < seconds:
        pairs.append(step())
    ms, within = (1e3 * statistics.median(each) for each in zip(*pairs[COMPARED // 2 :], strict=True))
    return {"ms": ms, "inside": within, "rows": loop.rows, "peak": peak_gflops(torch.get_num_threads())}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("library", choices=LIBRARIES)
    options.add_argument("point", nargs="+", metavar="CELL B T H LAYERS V [KIND]")
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--set-threads", type=int, help="torch.set_num_threads; backtime is told nothing")
    options.add_argument("--layer-alone", action="store_true", help="its two passes, no other operation")
    options.add_argument("--inside", action="store_true", help="the share of the layer, and the peak")
    args = options.parse_args()
    if args.set_threads:
        torch.set_num_threads(args.set_threads)
    cell, *numbers = args.point[:6]
    point = Point(cell, *map(int, numbers), *args.point[6:])
    torch.manual_seed(0)
    if args.inside:
        print(json.dumps(run_inside(Loop(point, args.library), args.seconds)))
    else:
        make = layer_step if args.layer_alone else Loop
        print(json.dumps(run(make(point, args.library), args.seconds)))


if __name__ == "__main__":
    main()
