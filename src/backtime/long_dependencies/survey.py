"""All cells with all remedies on one problem, over growing delays: how far does each remember?

A pair of cell and remedy goes on to the next delay when it has solved the one before; each delay is trained
anew, from the same seed. The shorter delays of all pairs come first, so that a survey which is cut short
has compared them fairly.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from backtime.errors import UsageError, shown
from backtime.fields import check, described
from backtime.long_dependencies.problems import PROBLEMS, Problem
from backtime.long_dependencies.remedies import USUAL, Remedy, make_remedy
from backtime.models.config import CELLS

PROBLEM, TRAINING, LENGTH = "problem", "training of each network", "length"
MOST_DELAY = 100_000  # steps
QUICK: dict[str, Any] = {"delays": "10,20", "remedies": "none,clip", "hidden_size": 32, "steps": 300}


@dataclass(frozen=True)
class Plan:
    """What is surveyed; the names are those of ``backtime bench memory``'s options.

    Raises ``UsageError`` naming the option when a value is impossible.
    """

    task: str = described("adding", "what has to be remembered", group=PROBLEM, choices=tuple(PROBLEMS))
    cells: str = described(",".join(CELLS), "kinds of recurrent layer, A,B", group=PROBLEM)
    remedies: str = described(USUAL, "what is tried against a lost gradient, A,B+C", group=PROBLEM)
    delays: str = described("", "steps to remember, N,N (default: the task's)", group=PROBLEM)
    hidden_size: int = described(64, "units of the layer", group=TRAINING, least=1, below=10_001)
    batch_size: int = described(64, "new sequences a step", group=TRAINING, least=1, below=10_001)
    lr: float = described(0.003, "learning rate of Adam", group=TRAINING, above=0)
    steps: int = described(1000, "most steps of training", group=TRAINING, least=1)
    check_every: int = described(50, "steps between looks at the score", group=TRAINING, least=1)
    minutes: float | None = described(None, "stop after X minutes", group=LENGTH, above=0)
    seed: int = described(1, "of all random numbers", group=LENGTH, least=0, below=2**32)

    def __post_init__(self) -> None:
        """Check every value, and what means something only together."""
        check(self)
        for cell in self.own_cells:
            if cell not in CELLS:
                raise UsageError(f"--cells has {shown(cell)}; expected of {', '.join(CELLS)} one or more")
        if not any(self.pairs):
            raise UsageError(f"--remedies {shown(self.remedies)} fits none of --cells {self.cells}")
        least = self.problem.least
        for delay in self.own_delays:
            if not least <= delay <= MOST_DELAY:
                raise UsageError(f"--delays has {delay}; expected {least} to {MOST_DELAY:,} with {self.task}")

    @property
    def problem(self) -> Problem:
        """The problem that ``task`` names."""
        return PROBLEMS[self.task]

    @property
    def own_cells(self) -> list[str]:
        """The cells, each once."""
        return _names(self.cells, "--cells")

    @property
    def own_remedies(self) -> list[Remedy]:
        """The remedies, each once."""
        return [make_remedy(name) for name in _names(self.remedies, "--remedies")]

    @property
    def own_delays(self) -> list[int]:
        """The delays in ascending order."""
        if not self.delays:
            return list(self.problem.delays)
        words = _names(self.delays, "--delays")
        if strange := [word for word in words if not (word.isascii() and word.isdecimal()) or len(word) > 9]:
            raise UsageError(f"--delays has {shown(strange[0])}; expected whole numbers: 50,100,200")
        return sorted({int(word) for word in words})

    @property
    def pairs(self) -> list[tuple[str, Remedy]]:
        """Cells with the remedies that they can have."""
        return [(cell, own) for cell in self.own_cells for own in self.own_remedies if own.fits(cell)]


class Row(NamedTuple):
    """A trial that was done, and what came of it."""

    delay: int
    cell: str
    remedy: str
    outcome: Any


class Reach(NamedTuple):
    """How far a pair got: the longest delay solved (0: none), the one that failed (0: none did)."""

    solved: int
    failed: int


@dataclass
class Survey:
    """The trials done so far; ``cut`` says what ended the survey early: minutes or interrupt."""

    plan: Plan
    rows: list[Row] = field(default_factory=list)
    cut: str = ""

    def reach(self, cell: str, remedy: str) -> Reach:
        """How far a pair got."""
        own = [row for row in self.rows if (row.cell, row.remedy) == (cell, remedy)]
        solved = [row.delay for row in own if row.outcome.is_solved]
        return Reach(max(solved, default=0), next((r.delay for r in own if not r.outcome.is_solved), 0))


def survey(plan: Plan, interrupted: Callable[[], bool], tell: Callable[[Row], None]) -> Survey:
    """Do the trials of a plan; ``tell`` gets each as it ends. One that is cut short does not count."""
    from backtime.long_dependencies.trial import run

    found, end = Survey(plan), time.monotonic() + 60 * (plan.minutes or float("inf"))
    for delay, cell, remedy in _due(found):
        outcome = run(_trial(plan, delay, cell, remedy), lambda: interrupted() or time.monotonic() >= end)
        if not outcome.is_over:
            found.cut = "interrupt" if interrupted() else "minutes"
            break
        found.rows.append(Row(delay, cell, remedy.name, outcome))
        tell(found.rows[-1])
    return found


def _due(found: Survey) -> Iterator[tuple[int, str, Remedy]]:
    """The trials in their order, but not those of a pair that has failed."""
    for delay in found.plan.own_delays:
        for cell, remedy in found.plan.pairs:
            if not found.reach(cell, remedy.name).failed:
                yield delay, cell, remedy


def _trial(plan: Plan, delay: int, cell: str, remedy: Remedy) -> Any:
    from backtime.long_dependencies.trial import Trial

    sizes = (plan.hidden_size, plan.batch_size, plan.lr, plan.steps, plan.check_every, plan.seed)
    return Trial(plan.problem, delay, cell, remedy, *sizes)


def _names(listed: str, option: str) -> list[str]:
    """The names in ``"A,B"``, each once."""
    names = list(dict.fromkeys(name.strip() for name in listed.split(",")))
    if not all(names):
        raise UsageError(f"{option} is {shown(listed)}; expected names between commas: A,B")
    return names
