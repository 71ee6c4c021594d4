"""``flow``: the gradient through time of the recurrent layers inside any PyTorch model, exactly."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from backtime.errors import UsageError
from backtime.insight.dynamics.spectra import spectrum
from backtime.insight.gradient import gates
from backtime.insight.gradient.contributions import Piece, gap, parameter, pieces_of, truncation
from backtime.insight.gradient.curves import by_lag
from backtime.insight.gradient.through_time import Travelled, travel
from backtime.insight.layers.levels import Level
from backtime.insight.layers.recording import Loss, Recording, random_loss, record
from backtime.insight.layers.stacks import Stack, full_gradients, injected, run_layers, turn
from backtime.insight.measures import Flow, LevelFlow, Spectrum


def flow(
    module: nn.Module,
    batch: Any,
    loss: Loss | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    lags: int | None = None,
    contributions: bool = True,
    spectra: bool = False,
    seed: int = 0,
) -> Flow:
    """Measure the gradient through time of every recurrent layer in ``module`` on one batch.

    ``batch`` is what ``module`` is called with: a tensor, a ``PackedSequence``, or a tuple of arguments, with
    ``kwargs`` beside. ``loss`` takes the module's output and gives the loss, summed if it has many numbers;
    without it the loss is the output times random signs from ``seed``, which asks every direction alike.

    The loss sends a gradient dE_t/dy_t into the top layer at each step t; what is measured is how it arrives
    at the state h_s of each layer, at each lag k = t - s: exact, as backpropagation through time has it.
    ``lags`` bounds k (all); ``contributions`` asks for what each lag adds to each weight's gradient, too. A
    layer in both directions is measured by itself, its losses being what arrives at its own output, and so is
    each of several recurrent modules. The model is run in eval mode, and nothing in it is changed.

    ``spectra`` adds singular values and Lyapunov exponents of each layer.

    Raises ``UsageError`` when the module has no recurrent layer, or the loss depends on none.
    """
    inputs = batch if type(batch) is tuple else (batch,)

    def compute() -> Any:
        output = module(*inputs, **(kwargs or {}))
        return random_loss(output, seed) if loss is None else loss(output)

    return flow_of(module, compute, lags=lags, contributions=contributions, spectra=spectra)


def flow_of(
    module: nn.Module,
    compute: Callable[[], Any],
    *,
    lags: int | None = None,
    contributions: bool = True,
    spectra: bool = False,
) -> Flow:
    """``flow`` where the loss is computed otherwise than by one call of ``module``.

    ``compute()`` calls ``module`` or parts of it and gives the loss: a step of somebody's own training loop.
    """
    if lags is not None and lags < 1:
        raise UsageError(f"lags is {lags}; expected a whole number from 1")
    calls, value = record(module, compute)
    levels: list[LevelFlow] = []
    pieces: list[Piece] = []
    spectrums: list[Spectrum] = []
    losses, T, B = 0, 0, 0
    for call in calls:
        if call.dy is None and all(d is None for d in call.dlast):
            continue
        for stack, found in _travels(call, lags, contributions):
            levels += [_level_flow(call, level, found, n) for n, level in enumerate(stack.levels)]
            pieces += pieces_of(call.name, stack, found)
            spectrums += [spectrum(level) for level in stack.levels] if spectra else []
            losses = max(losses, found.log_norm[0].shape[1])
            T, B = max(T, stack.levels[0].steps), max(B, stack.levels[0].after[0].shape[1])
    whole = contributions and (lags is None or lags >= T)
    return Flow(
        steps=T,
        sequences=B,
        losses=losses,
        loss=value,
        levels=levels,
        parameters=[parameter(piece) for piece in pieces],
        truncation=truncation(pieces) if pieces else None,
        gap=gap(pieces) if whole else None,
        spectra=spectrums,
    )


def _travels(call: Recording, lags: int | None, contributions: bool) -> list[tuple[Stack, Travelled]]:
    """A stack of one direction goes as one; of two directions each layer by itself, from the top down."""
    found, lengths = run_layers(call)
    inject = injected(call, found, lengths)
    full = full_gradients(call, found) if contributions else None
    if len(found[0]) == 1:
        stack = Stack(
            [own[0] for own in found],
            [own[0] for own in inject],
            None if full is None else [own[0] for own in full],
        )
        return [(stack, travel(*stack, lags=lags))]
    done = []
    for number in reversed(range(len(found))):
        below = []
        for d, level in enumerate(found[number]):
            stack = Stack([level], [inject[number][d]], None if full is None else [full[number][d]])
            done.append((stack, travel(*stack, lags=lags, need_dx=number > 0)))
            if number:
                dx = done[-1][1].dx
                assert dx is not None
                below.append(turn(dx, lengths) if d else dx)
        if number:
            _inject_below(call, inject[number - 1], below[0] + below[1], lengths)
    return done[::-1]


def _inject_below(call: Recording, inject: Any, dx: torch.Tensor, lengths: torch.Tensor | None) -> None:
    halves = (dx, dx) if call.layer.settings.merge == "sum" else dx.chunk(2, -1)
    for d, half in enumerate(halves):
        inject[d][0].add_(turn(half, lengths) if d else half)


def _level_flow(call: Recording, level: Level, found: Travelled, n: int) -> LevelFlow:
    sent = found.log_norm[-1][0] > -torch.inf  # (N, B)  whether a loss is there at all
    number = re.search(r"layer (\d+)", level.name)
    share = found.line_share[n]
    span, still = gates.unit_range(level)
    return LevelFlow(
        name=level.name,
        module=call.name,
        layer=int(number[1]) if number else 0,
        reverse=level.name.endswith("reverse"),
        cell=level.cell,
        activation=level.options.get("activation", "tanh"),
        units=level.after[0].shape[-1],
        **by_lag(found.log_norm[n], sent)._asdict(),
        line_share=None if share is None else share.cpu().numpy(),
        gates=gates.gate_use(level),
        unit_range=span,
        unit_still=still,
    )
