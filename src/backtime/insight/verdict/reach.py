"""How far back the gradient reaches: vanishing, and truncated too early."""

import numpy as np

from backtime.insight.measures import Flow, LevelFlow
from backtime.insight.verdict.figures import OPEN_IS_WELL, reach, recommended
from backtime.insight.verdict.findings import Advice, Finding, sure_of

VANISHED = 6  # lags: a gradient at 1 % by then has lost half at each step
CUT_OFF = 0.8  # cosine of the truncated with the whole gradient, below which truncation comes too early


def vanishing(flow: Flow, needs: int | None) -> list[Finding]:
    """Of the layer that reaches furthest: a stack remembers in any of its layers."""
    far = reach(flow)
    least = _least(flow, needs)
    looked = (
        flow.lags >= least or needs is not None
    )  # too few lags tell nothing, if nobody says what is needed
    if not far or not looked or max(far) >= min(least, flow.lags):
        return []
    level, lag = flow.levels[int(np.argmax(far))], max(far)
    if needs is None:
        text, limit = f"Only 1 % of the gradient is left {steps_of(lag)} back.", least - 1
    else:
        text, limit = f"The gradient reaches {lag} of the {steps_of(needs)} that you need (1 % left).", needs
    more, advice = _remedies(level)
    sure = sure_of(-lag, -limit, -limit / 3)
    return [Finding("vanishing", level.name, lag, sure, text + more, "levels.log_relative", advice)]


def _least(flow: Flow, needs: int | None) -> int:
    """How many steps back the gradient has to reach."""
    if needs is not None:
        return needs
    if flow.losses <= flow.steps // 8:  # a loss at the end alone has nothing to learn from but what is far
        return max(VANISHED, flow.steps // 8) + 1
    return VANISHED + 1


def _remedies(level: LevelFlow) -> tuple[str, list[Advice]]:
    """The cause, where a gate shows it, and what to try."""
    text, advice = "", []
    gate = level.gates.get(OPEN_IS_WELL.get(level.cell, ""))
    if gate is not None and gate.closed.mean() > 0.5:
        if level.cell == "lstm":
            advice.append(Advice("forget gates that begin open", "--forget-bias 1"))
        name = {"lstm": "forget", "gru": "update"}[level.cell]
        text = f" The {name} gate is shut in {gate.closed.mean():.0%} of units and steps."
    if level.cell == "rnn":
        advice.append(Advice("a cell with a straight line through time", "--cell lstm"))
        advice.append(Advice("recurrent weights that keep lengths", "--init orthogonal"))
    else:
        other = "gru" if level.cell == "lstm" else "lstm"
        advice.append(Advice("another cell, whose gates start half open", f"--cell {other}"))
    return text, [*advice, Advice("train longer: gates open as they learn", "--epochs 50")]


def truncated(flow: Flow, seq_length: int | None, length_option: str) -> list[Finding]:
    """Training cuts the gradient before it ends by itself."""
    own = flow.truncation
    if own is None or seq_length is None or 2 * seq_length > flow.steps:  # too short a window to tell
        return []
    cosine = float(np.interp(seq_length, own.lengths, own.chunk_cosine))
    if cosine >= CUT_OFF:
        return []
    best = recommended(flow) or own.lengths[-1]
    text = (
        f"With chunks of {seq_length} steps the gradient's cosine with the whole one is {cosine:.2f}: "
        "what comes from further back is cut off."
    )
    return [
        Finding(
            "truncated too early",
            "all layers",
            seq_length,
            sure_of(-cosine, -CUT_OFF, -0.5),
            text,
            "truncation.chunk_cosine",
            [Advice("longer chunks", f"{length_option} {best}")],
        )
    ]


def steps_of(n: int) -> str:
    """In words."""
    return "1 step" if n == 1 else f"{n} steps"
