"""A survey for people and programs: its table, its caption, its numbers."""

from typing import Any

from backtime.long_dependencies.problems import Problem
from backtime.long_dependencies.survey import Row, Survey

NO_SUCH = "-"  # the cell has not what the remedy sets


def entry(found: Survey, cell: str, remedy: str) -> str:
    """How far a pair got, in a few signs: see ``CAPTION``."""
    if (cell, remedy) not in [(own, other.name) for own, other in found.plan.pairs]:
        return NO_SUCH
    solved, failed = found.reach(cell, remedy)
    if failed:
        return str(solved) if solved else f"< {failed}"
    if not solved:
        return "?"
    return f"{solved} +" if solved == found.plan.own_delays[-1] else f"{solved} ?"


def caption(found: Survey) -> str:
    """What the signs of the table mean, and what solved is."""
    plan = found.plan
    entries = {sign for row in table(found)[1:] for sign in row[1:]}
    words = [
        f"solved: {bound(plan.problem)} on new sequences, within {plan.steps:,} steps of {plan.batch_size}"
    ]
    signs = {"<": "< N: not even N", "+": "N +: the longest that was tried", "?": "?: not tried further"}
    words += [meaning for sign, meaning in signs.items() if any(sign in own for own in entries)]
    if NO_SUCH in entries:
        words.append("-: the cell has no such")
    return "; ".join(words)


def bound(problem: Problem) -> str:
    """What counts as solved: ``"mean squared error below 0.001 (chance 0.167)"``."""
    side = "below" if problem.is_regression else "above"
    return f"{problem.measure} {side} {problem.bound:g} (chance {problem.chance:.3g})"


def table(found: Survey) -> list[list[str]]:
    """A row for each remedy, below the names of the cells."""
    cells = found.plan.own_cells
    rows = [[own.name, *(entry(found, cell, own.name) for cell in cells)] for own in found.plan.own_remedies]
    return [["remedy", *cells], *rows]


def title(found: Survey) -> str:
    """What the table shows."""
    return f"{found.plan.task}: the longest delay solved, in steps"


def lines(found: Survey) -> str:
    """The table in plain text, with its title and caption."""
    rows = table(found)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([title(found), "", *map(str.rstrip, shown), "", caption(found)])


def told(row: Row, problem: Problem) -> str:
    """A line about a trial that has ended."""
    own = row.outcome
    score = "" if own.end == "diverged" else f", {problem.measure} {own.score:.3g}"
    return (
        f"{problem.name} T = {row.delay}, {row.cell}, {row.remedy}: {own.end}{score}, {own.steps:,} steps, "
        f"{own.seconds:.0f} s"
    )


def as_json(found: Survey) -> dict[str, Any]:
    """The plan, how far each pair got, and every trial."""
    plan, problem = found.plan, found.plan.problem
    settings = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
    return {
        "settings": settings | {"delays": plan.own_delays},
        "measure": problem.measure,
        "chance": problem.chance,
        "bound": problem.bound,
        "cut": found.cut,
        "reach": [
            {"cell": cell, "remedy": own.name, **found.reach(cell, own.name)._asdict()}
            for cell, own in plan.pairs
        ],
        "trials": [
            {"delay": row.delay, "cell": row.cell, "remedy": row.remedy, **vars(row.outcome)}
            for row in found.rows
        ],
    }
