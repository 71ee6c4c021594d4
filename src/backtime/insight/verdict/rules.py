"""The verdict in words: what is wrong with the gradient through time, where, how sure, and what to try.

Every rule reads figures of a ``Flow`` and says which. An illness that follows from another is told within
it, not beside it: the gradient of a saturated layer may shrink or grow, units without slope do not move.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from backtime.insight.measures import Flow, LevelFlow

HEALTHY = "healthy"
ILLNESSES = ("exploding", "vanishing", "saturated", "dead units", "truncated too early")
VANISHED = 6  # lags: a gradient at 1 % by then has lost half at each step
GROWTH = 2.0  # decades above where it began: what counts as exploding
SATURATED = 0.6  # share of units and steps at the flat ends
DEAD = 0.1  # share of units that never move
CUT_OFF = 0.8  # cosine of the truncated with the whole gradient, below which truncation comes too early
ENOUGH = 0.99  # the cosine that a recommended sequence length reaches
OPEN_IS_WELL = {"lstm": "f", "gru": "z"}  # gates whose open end is how the cell remembers


@dataclass
class Advice:
    """Something to try."""

    text: str
    option: str  # of ``backtime train``, as it is typed


@dataclass
class Finding:
    """One illness."""

    illness: str
    where: str
    lag: int | None
    sure: float  # 0 to 1: how far beyond its threshold the figure is
    text: str
    figure: str  # the key of flow.json that shows it
    advice: list[Advice] = field(default_factory=list)


@dataclass
class Verdict:
    """What was found; empty ``findings`` are good health.

    ``seq_length`` is what the evidence recommends, None where no length will do, or where what ails the
    gradient must be mended first.
    """

    findings: list[Finding]
    line: str
    seq_length: int | None

    @property
    def illnesses(self) -> list[str]:
        """Their names, or healthy."""
        return sorted({own.illness for own in self.findings}) or [HEALTHY]

    def to_json(self) -> dict[str, Any]:
        """For flow.json."""
        return asdict(self)


def judge(flow: Flow, seq_length: int | None = None) -> Verdict:
    """The verdict on a flow; ``seq_length`` is what the model is trained with, where that is known."""
    findings: list[Finding] = []
    for level in flow.levels:
        saturated = _saturated(level)
        findings += saturated
        if not saturated:
            findings += [*_exploding(level), *_dead(level)]
    if not findings or all(own.illness == "dead units" for own in findings):
        findings += _vanishing(flow)
    if not {"exploding", "saturated"} & {own.illness for own in findings}:
        findings += _truncated(flow, seq_length)
    findings.sort(key=lambda own: -own.sure)
    ill = {own.illness for own in findings} - {"truncated too early", "dead units"}
    return Verdict(findings, _line(flow, findings), None if ill else recommended(flow))


def recommended(flow: Flow) -> int | None:
    """The shortest ``--seq-length`` of the grid that keeps the gradient's direction; None if none does."""
    if flow.truncation is None:
        return None
    own = flow.truncation
    well = [n for n, cosine in zip(own.lengths, own.chunk_cosine, strict=True) if cosine >= ENOUGH]
    return well[0] if well else None


def growth(level: LevelFlow) -> tuple[float, int]:
    """The most decades that the gradient rises above its start, and the lag where."""
    values = np.nan_to_num(level.log_relative, nan=0.0, neginf=-np.inf, posinf=np.inf)
    lag = int(values.argmax())
    return float(values[lag]), lag


def saturation(level: LevelFlow) -> float:
    """Share of units and steps at the flat ends of the gates; an open forget gate is none."""
    shares = []
    for name, gate in level.gates.items():
        well = OPEN_IS_WELL.get(level.cell) == name
        shares.append(float(gate.closed.mean()) if well else gate.saturated)
    return float(np.mean(shares)) if shares and not _is_relu(level) else 0.0


def _saturated(level: LevelFlow) -> list[Finding]:
    share = saturation(level)
    if share <= SATURATED:
        return []
    rise, lag = growth(level)
    more = f" The gradient grows by {rise:.0f} decades for it." if rise > GROWTH else ""
    return [
        Finding(
            "saturated",
            level.name,
            None if rise <= GROWTH else lag,
            _sure(share, SATURATED, 0.9),
            f"{share:.0%} of the gates stand at their flat ends, where nothing is learned.{more}",
            "levels.gates",
            [
                Advice("start again with smaller steps, so that weights stay small", "--lr 0.0005"),
                Advice("pull the weights towards zero", "--weight-decay 0.01"),
                Advice("normalise what enters the gates", "--layer-norm"),
            ],
        )
    ]


def _exploding(level: LevelFlow) -> list[Finding]:
    rise, lag = growth(level)
    if rise <= GROWTH:
        return []
    advice = [
        Advice("cut the gradient's norm", "--grad-clip 1"),
        Advice("learn in smaller steps", "--lr 0.0005"),
    ]
    if level.cell == "rnn":
        advice.append(Advice("let gates hold the state in bounds", "--cell lstm"))
    times = 10.0 ** min(rise, 300)
    text = f"The gradient grows {times:.3g}-fold by lag {lag}: far steps shout down the near ones."
    return [
        Finding("exploding", level.name, lag, _sure(rise, GROWTH, 6), text, "levels.log_relative", advice)
    ]


def _vanishing(flow: Flow) -> list[Finding]:
    """Of the layer that reaches furthest: a stack remembers in any of its layers."""
    reach = [flow.lags if level.percent is None else level.percent for level in flow.levels]
    limit = VANISHED
    if (
        flow.losses <= flow.steps // 8
    ):  # a loss at the end alone has nothing else to learn from than what is far
        limit = max(limit, flow.steps // 8)
    if not reach or max(reach) > limit or flow.lags <= limit:
        return []
    level, lag = flow.levels[int(np.argmax(reach))], max(reach)
    text = f"Only 1 % of the gradient is left {_lags(lag)} back."
    advice: list[Advice] = []
    gate = level.gates.get(OPEN_IS_WELL.get(level.cell, ""))
    if gate is not None and gate.closed.mean() > 0.5:
        if level.cell == "lstm":
            advice.append(Advice("forget gates that begin open", "--forget-bias 1"))
        name = {"lstm": "forget", "gru": "update"}[level.cell]
        text += f" The {name} gate is shut in {gate.closed.mean():.0%} of units and steps."
    if level.cell == "rnn":
        advice.append(Advice("a cell with a straight line through time", "--cell lstm"))
        advice.append(Advice("recurrent weights that keep lengths", "--init orthogonal"))
    else:
        other = "gru" if level.cell == "lstm" else "lstm"
        advice.append(Advice("another cell, whose gates start half open", f"--cell {other}"))
    advice.append(Advice("train longer: gates open as they learn", "--epochs 50"))
    sure = _sure(-lag, -limit, -limit / 3)
    return [Finding("vanishing", level.name, lag, sure, text, "levels.log_relative", advice)]


def _dead(level: LevelFlow) -> list[Finding]:
    share = float(level.unit_still.mean()) if len(level.unit_still) else 0.0
    if share <= DEAD:
        return []
    count = int(level.unit_still.sum())
    text = f"{count} of {len(level.unit_still)} units never move, whatever is read."
    advice = [Advice("learn in smaller steps, which kill fewer units", "--lr 0.0005")]
    if _is_relu(level):
        advice.insert(0, Advice("an activation that has a slope everywhere", "--activation tanh"))
    else:
        advice.append(
            Advice("a smaller layer, if so many are not needed", f"--hidden-size {level.units - count or 1}")
        )
    return [
        Finding("dead units", level.name, None, _sure(share, DEAD, 0.3), text, "levels.unit_still", advice)
    ]


def _truncated(flow: Flow, seq_length: int | None) -> list[Finding]:
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
            _sure(-cosine, -CUT_OFF, -0.5),
            text,
            "truncation.chunk_cosine",
            [Advice("longer chunks", f"--seq-length {best}")],
        )
    ]


def _is_relu(level: LevelFlow) -> bool:
    return level.cell == "rnn" and level.activation == "relu"


def _sure(value: float, threshold: float, certain: float) -> float:
    """0.5 at the threshold, 0.99 from ``certain`` on."""
    share = (value - threshold) / (certain - threshold)
    return round(0.5 + 0.49 * min(max(share, 0.0), 1.0), 2)


def _lags(n: int) -> str:
    return "1 step" if n == 1 else f"{n} steps"


def _line(flow: Flow, findings: list[Finding]) -> str:
    if findings:
        first = findings[0]
        remedy = f" Try {first.advice[0].option}." if first.advice else ""
        return f"{first.illness}, {first.where}: {first.text}{remedy}"
    reach = [level.percent for level in flow.levels]
    if not reach or None in reach:
        return f"healthy: after {flow.lags - 1} steps more than 1 % of the gradient is left"
    return f"healthy: the gradient reaches {max(n for n in reach if n is not None)} steps back (1 % left)"
