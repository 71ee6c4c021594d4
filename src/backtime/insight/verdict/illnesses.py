"""The illnesses of one level: saturated gates, a gradient that explodes, units that are dead."""

from backtime.insight.measures import LevelFlow
from backtime.insight.verdict.figures import growth, is_relu, saturation
from backtime.insight.verdict.findings import Advice, Finding, sure_of

GROWTH = 2.0  # decades above where it began: what counts as exploding
SATURATED = 0.6  # share of units and steps at the flat ends
DEAD = 0.1  # share of units that never move


def saturated(level: LevelFlow) -> list[Finding]:
    """Gates at their flat ends; a gradient that grows is told with them."""
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
            sure_of(share, SATURATED, 0.9),
            f"{share:.0%} of the gates stand at their flat ends, where nothing is learned.{more}",
            "levels.gates",
            [
                Advice("start again with smaller steps, so that weights stay small", "--lr 0.0005"),
                Advice("pull the weights towards zero", "--weight-decay 0.01"),
                Advice("normalise what enters the gates", "--layer-norm"),
            ],
        )
    ]


def exploding(level: LevelFlow) -> list[Finding]:
    """A gradient that grows on its way back."""
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
        Finding("exploding", level.name, lag, sure_of(rise, GROWTH, 6), text, "levels.log_relative", advice)
    ]


def dead(level: LevelFlow) -> list[Finding]:
    """Units that never move."""
    share = float(level.unit_still.mean()) if len(level.unit_still) else 0.0
    if share <= DEAD:
        return []
    count = int(level.unit_still.sum())
    text = f"{count} of {len(level.unit_still)} units never move, whatever is read."
    advice = [Advice("learn in smaller steps, which kill fewer units", "--lr 0.0005")]
    if is_relu(level):
        advice.insert(0, Advice("an activation that has a slope everywhere", "--activation tanh"))
    else:
        advice.append(
            Advice("a smaller layer, if so many are not needed", f"--hidden-size {level.units - count or 1}")
        )
    return [
        Finding("dead units", level.name, None, sure_of(share, DEAD, 0.3), text, "levels.unit_still", advice)
    ]
