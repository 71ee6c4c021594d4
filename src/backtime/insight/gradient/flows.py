"""``flow``: the gradient through time of the recurrent layers inside any PyTorch model, exactly."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from backtime.errors import UsageError
from backtime.insight.dynamics.spectra import spectrum
from backtime.insight.gradient import gates
from backtime.insight.gradient.through_time import Travelled, travel
from backtime.insight.gradient.truncated import TruncatedSums
from backtime.insight.layers.levels import Level
from backtime.insight.layers.recording import Loss, Recording, random_loss, record
from backtime.insight.layers.stacks import Stack, full_gradients, injected, run_layers, turn
from backtime.insight.measures import QUANTILES, Floats, Flow, LevelFlow, Parameter, Spectrum, Truncation

LOG10 = np.log(10.0)


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
    pieces: list[_Piece] = []
    spectrums: list[Spectrum] = []
    losses, T, B = 0, 0, 0
    for call in calls:
        if call.dy is None and all(d is None for d in call.dlast):
            continue
        for stack, found in _travels(call, lags, contributions):
            levels += [_level_flow(call, level, found, n) for n, level in enumerate(stack.levels)]
            pieces += _pieces(call, stack, found)
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
        parameters=[_parameter(piece) for piece in pieces],
        truncation=_truncation(pieces) if pieces else None,
        gap=_gap(pieces) if whole else None,
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
    logs = found.log_norm[n].cpu().numpy() / LOG10  # (K, N, B)
    sent = found.log_norm[-1][0].cpu().numpy() > -np.inf  # (N, B)  whether a loss is there at all
    logs = np.where(sent, logs, np.nan)
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
        log_mean=_log_mean(logs, (1, 2)),
        log_quantiles=_quantiles(logs),
        log_relative=_relative(logs),
        map=_log_mean(logs, (2,)),
        line_share=None if share is None else share.cpu().numpy(),
        gates=gates.gate_use(level),
        unit_range=span,
        unit_still=still,
    )


def _log_mean(logs: Floats, axes: tuple[int, ...]) -> Floats:
    """log10 of the mean of 10^logs over what is not NaN; NaN where nothing is."""
    there = ~np.isnan(logs)
    top = np.max(logs, axes, keepdims=True, initial=-np.inf, where=there)
    top = np.where(np.isfinite(top), top, 0.0)
    count = there.sum(axes)
    total = np.sum(10.0 ** (np.where(there, logs, -np.inf) - top), axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Floats = np.log10(total / count) + top.reshape(count.shape)
    return mean


def _quantiles(logs: Floats) -> Floats:
    """(5, K): nearest-rank quantiles, which keep -inf apart from NaN."""
    found = np.full((len(QUANTILES), len(logs)), np.nan)
    for k, own in enumerate(logs):
        values = np.sort(own[~np.isnan(own)])
        if values.size:
            ranks = [min(int(q * values.size), values.size - 1) for q in QUANTILES]
            found[:, k] = values[ranks]
    return found


def _relative(logs: Floats) -> Floats:
    """Each lag's mean over the mean of the same losses at lag 0."""
    start = np.where(np.isnan(logs), np.nan, logs[:1])
    with np.errstate(invalid="ignore"):
        found: Floats = _log_mean(logs, (1, 2)) - _log_mean(start, (1, 2))
    return np.where(np.isnan(found) & np.isneginf(_log_mean(logs, (1, 2))), -np.inf, found)


class _Piece(NamedTuple):
    """One weight of one level."""

    name: str
    field: str
    dots: Floats  # (K,)
    sums: TruncatedSums


def _pieces(call: Recording, stack: Stack, found: Travelled) -> list[_Piece]:
    prefix = "" if call.name == "module" else f"{call.name}."
    done = []
    for level, dots, sums in zip(stack.levels, found.dots, found.truncated, strict=True):
        if dots is not None and sums is not None:
            for own, field in zip(dots.T.cpu().numpy(), sums.step.fields, strict=True):
                done.append(_Piece(prefix + level.parameters[field], field, own, sums))
    return done


def _parameter(piece: _Piece) -> Parameter:
    norm = float(piece.sums.full[piece.field].double().norm())
    return Parameter(piece.name, norm, piece.dots / (norm**2 or 1.0), _truncation([piece]))


def _truncation(pieces: list[_Piece]) -> Truncation:
    """Of the gradient that the pieces make up together."""
    lengths = max((piece.sums.lengths for piece in pieces), key=len)
    products = [piece.sums.products(piece.field) for piece in pieces]
    M = 2 * len(lengths)
    dot = sum(_extended(own, M) for own, _ in products)
    norm = np.sqrt(sum(_extended(own, M) ** 2 for _, own in products))
    size = _size(pieces) or 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(norm > 0, dot / (norm * size), 0.0).reshape(2, -1)
    ratio = (norm / size).reshape(2, -1)
    return Truncation(lengths, cosine[0], ratio[0], cosine[1], ratio[1])


def _extended(values: torch.Tensor, M: int) -> Floats:
    """A stack with fewer lags is whole after its last length."""
    halves = values.cpu().numpy().reshape(2, -1)
    return np.pad(halves, ((0, 0), (0, M // 2 - halves.shape[1])), mode="edge").ravel()


def _size(pieces: list[_Piece]) -> float:
    norms = [float(piece.sums.full[piece.field].double().norm()) for piece in pieces]
    return float(np.sqrt(np.square(norms).sum()))


def _gap(pieces: list[_Piece]) -> float | None:
    size = _size(pieces)
    return sum(piece.sums.gap(piece.field) ** 2 for piece in pieces) ** 0.5 / size if size else None
