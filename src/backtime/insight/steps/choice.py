"""Which step a layer takes: by hand where the layer is plain, by autograd where not."""

from backtime.insight.layers.levels import Level
from backtime.insight.steps.general import AnyStep
from backtime.insight.steps.gru import GruStep
from backtime.insight.steps.lstm import LstmStep
from backtime.insight.steps.plain import PlainStep
from backtime.insight.steps.rnn import RnnStep
from backtime.insight.steps.step import Step

PLAIN: dict[str, type[PlainStep]] = {"rnn": RnnStep, "gru": GruStep, "lstm": LstmStep}
PLAIN_OPTIONS = {"activation", "reset_after"}


def step_of(level: Level) -> Step:
    """The steps of one layer."""
    options = level.options
    plain = set(options) <= PLAIN_OPTIONS and options.get("reset_after", True)
    if plain and level.cell in PLAIN and not any(part is not None for part in level.weights[4:]):
        return PLAIN[level.cell](level)
    return AnyStep(level)
