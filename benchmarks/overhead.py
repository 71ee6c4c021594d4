"""What a layer of ``backtime.nn`` adds to its kernels where they have next to nothing to do: B = T = 1.

``kernels`` are ``kernels.forward`` and ``kernels.backward`` on arrays that lie ready; ``nn`` is the layer,
autograd and all; ``empty Function`` a ``torch.autograd.Function`` in a module, with a layer's arguments
and results, that computes nothing. The second table has other ways to call a layer, the third what compiling
costs.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from backtime import kernels, nn
from backtime.reference.weights import Weights
from benchmarks import common

H = 32
COMPILED = (35, 8)  # T and B of the compiled layers
TOLERANCE = 1e-6  # a few roundings of numbers below 1
HEAD = ["microseconds of a call", "kernels", "nn", "adds", "torch.nn", "empty Function"]
FORMS_HEAD = ["2 layers, forward, no gradients", "microseconds"]
COMPILE_HEAD = ["compiled", "seconds"]
NOTES = """\
LSTM, I = H = {H}, B = T = 1, float32: medians of single calls, the sides in turns. Backward gives the
gradients of the weights by `torch.autograd.grad`. y agreed within {tolerance:.0e}.
Compiling: T = {T}, B = {B}, `torch.compile(fullgraph=True)` from empty caches up to the first gradients."""
Step = Callable[[], Any]


class Empty(torch.autograd.Function):
    """Nothing, with the arguments, results and gradients of a layer."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, *weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Memory for y and the last state."""
        ctx.save_for_backward(x, *weights)
        return x.new_empty(1, 1, H), x.new_empty(1, 1, H), x.new_empty(1, 1, H)

    @staticmethod
    def backward(ctx: Any, *dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Memory for the weights' gradients."""
        return None, *[torch.empty_like(w) for w in ctx.saved_tensors[1:]]


class EmptyLayers(torch.nn.Module):
    """As many of them, one after the other, as a network has layers."""

    def __init__(self, like: nn.LSTM) -> None:
        """With the weights of ``like``."""
        super().__init__()
        self.all_weights = like.all_weights

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The last one's y; without gradients the call of the module alone."""
        for own in self.all_weights:
            if torch.is_grad_enabled():
                x, _, _ = Empty.apply(x, *own)
        return x, None


def kernel_steps(layer: nn.LSTM, x: torch.Tensor) -> tuple[Step, Step]:
    """Forward, and forward and backward, by the bare kernels."""
    weights = [Weights(*(w.detach().numpy() for w in own)) for own in layer.all_weights]
    first, upstream = x.numpy(), np.ones((1, 1, H), np.float32)

    def forward() -> Any:
        y = first
        for own in weights:
            y, _, _ = kernels.forward("lstm", y, None, own, save=False)
        return y

    def both() -> None:
        y, tapes = first, []
        for own in weights:
            y, _, tape = kernels.forward("lstm", y, None, own)
            tapes.append(tape)
        dy: Any = upstream
        for n in reversed(range(len(tapes))):
            dy = kernels.backward(tapes[n], dy, None, need_dx=n > 0, need_dstate=False).dx

    return forward, both


def layer_steps(layer: torch.nn.Module, x: torch.Tensor, parameters: list[Any]) -> tuple[Step, Step]:
    """The same by a module."""
    upstream = torch.ones(1, 1, H)

    def forward() -> Any:
        with torch.no_grad():
            return layer(x)[0]

    def both() -> None:
        torch.autograd.grad(layer(x)[0], parameters, upstream)

    return forward, both


def timed(layers: int, seconds: float) -> list[list[str]]:
    """A row for each of forward, and forward and backward."""
    ours, stock, x = nn.LSTM(H, H, layers), torch.nn.LSTM(H, H, layers), torch.randn(1, 1, H)
    stock.load_state_dict(ours.state_dict())
    sides = {"kernels": kernel_steps(ours, x)}
    for name, module in (("nn", ours), ("torch.nn", stock), ("empty Function", EmptyLayers(ours))):
        sides[name] = layer_steps(module, x, list((stock if name == "torch.nn" else ours).parameters()))
    for name in ("kernels", "nn"):
        common.agree(name, [sides[name][0]()], [sides["torch.nn"][0]()], TOLERANCE)
    rows = []
    for n, what in enumerate(("forward, no gradients", "forward and backward")):
        for steps in sides.values():
            steps[n]()  # the very first call loads modules, and would count for the length of a turn
        found = common.medians({name: steps[n] for name, steps in sides.items()}, seconds)
        us = {name: value * 1e6 for name, value in found.items()}
        numbers = [us["kernels"], us["nn"], us["nn"] - us["kernels"], us["torch.nn"], us["empty Function"]]
        plural = "s" if layers > 1 else ""
        rows.append([f"{layers} layer{plural}, {what}", *(f"{value:.1f}" for value in numbers)])
    return rows


def forms() -> dict[str, tuple[torch.nn.Module, Step]]:
    """Other ways to call two layers, without gradients: by name, the layers and the call."""
    x, tokens = torch.randn(1, 1, H), torch.zeros(1, 1, dtype=torch.int64)
    plain, normed = nn.LSTM(H, H, 2), nn.LSTM(H, H, 2, layer_norm=True)
    return {
        "floats": (plain, lambda: plain(x)[0]),
        "tokens": (plain, lambda: plain(tokens)[0]),
        "layer norm": (normed, lambda: normed(x)[0]),
        "`lengths=`": (plain, lambda: plain(x, lengths=[1])[0]),
    }


def timed_forms(seconds: float) -> list[list[str]]:
    """A row for each of them; the results checked against composed operations first."""
    calls = forms()
    with torch.no_grad():
        for name, (layer, call) in calls.items():
            quick = call()
            settings, layer.settings = layer.settings, replace(layer.settings, backend="composed")
            common.agree(name, [quick.numpy()], [call().numpy()], TOLERANCE)
            layer.settings = settings
        found = common.medians({name: call for name, (_, call) in calls.items()}, seconds)
    return [[name, f"{value * 1e6:.1f}"] for name, value in found.items()]


def compile_seconds(layer: torch.nn.Module) -> float:
    torch._dynamo.reset()
    x = torch.randn(*COMPILED, H)
    # one thread: the processes that would help are started by the first compilation, at its cost
    with torch._inductor.utils.fresh_cache(), torch._inductor.config.patch(compile_threads=1):
        start = time.perf_counter()
        torch.compile(layer, fullgraph=True)(x)[0].sum().backward()
        return time.perf_counter() - start


def compiled() -> list[list[str]]:
    """A linear layer first: the first compilation of a process loads the compiler."""
    modules = {"torch.nn.Linear, the first of the process": torch.nn.Linear(H, H)}
    modules["torch.nn.Linear, again"] = torch.nn.Linear(H, H)
    modules |= {f"nn.{kind.__name__}, 2 layers": kind(H, H, 2) for kind in (nn.RNN, nn.GRU, nn.LSTM)}
    return [[name, f"{compile_seconds(module):.1f}"] for name, module in modules.items()]


def main() -> None:
    args = common.parser(__doc__).parse_args()
    common.use_threads(args.threads or 1)
    torch.manual_seed(1)
    seconds = args.seconds or (0.1 if args.quick else 2.0)
    tables = [common.table(HEAD, [row for layers in (1, 2) for row in timed(layers, seconds)])]
    tables.append(common.table(FORMS_HEAD, timed_forms(seconds)))
    tables.append(common.table(COMPILE_HEAD, compiled()))
    T, B = COMPILED
    notes = NOTES.format(H=H, tolerance=TOLERANCE, T=T, B=B)
    common.report("What a layer adds", notes, "\n\n".join(tables), args.write)


if __name__ == "__main__":
    main()
