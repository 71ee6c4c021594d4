"""What a task asks its model about one sequence, and how it is answered: step by step, and by its units."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from backtime.insight.decisions.attribution import Decision, contributions
from backtime.insight.measures import Floats
from backtime.insight.units.following import Passage, Units, units_over


@dataclass
class Question:
    """M answers about one sequence, and the layer whose T inputs they are held against.

    - ``scores()`` runs the model and gives the M scores: log-odds of what it chooses, numbers as they are
    - ``layer`` reads the T ``steps``, which stand on ``axis`` of its input
    - ``attention`` (n, T): how much the first n answers looked at each step, where the model looks
    - ``passage``: what the recurrent layer of the model reads meanwhile
    """

    answers: list[str]
    probabilities: list[float | None]
    scores: Callable[[], Tensor]
    layer: nn.Module
    steps: list[str]
    passage: Passage
    axis: int = 0
    attention: Floats | None = None


def decide(question: Question) -> list[Decision]:
    """A decision for each answer."""
    gradient, occlusion = contributions(question.layer, question.scores, question.axis)
    looks = [] if question.attention is None else list(question.attention)
    looks += [None] * (len(question.answers) - len(looks))
    rows = zip(question.answers, question.probabilities, gradient, occlusion, looks, strict=True)
    return [Decision(answer, p, question.steps, g, o, look) for answer, p, g, o, look in rows]


def units_of(questions: Iterable[Question], count: int) -> Units:
    """The units of the recurrent layer that follow something best, over all the sequences."""
    return units_over([(own.passage, own.scores) for own in questions], count)
