"""What ``backtime flow --units`` adds to a report: pages, tables for the terminal, numbers."""

from typing import Any, NamedTuple

from rich.console import Group

from backtime.insight.decisions import decide
from backtime.insight.decisions import shown as decisions_shown
from backtime.insight.decisions.question import Question, units_of
from backtime.insight.reports.report import plain
from backtime.insight.units import shown as units_shown
from backtime.insight.units.following import Units


class Extra(NamedTuple):
    """Pages by the names of their files, what the terminal shows, and what ``flow.json`` gets."""

    pages: dict[str, str]
    shown: Any
    numbers: dict[str, Any]


def of_text(name: str, units: Units) -> Extra:
    """Of a text, character by character."""
    pages = {"units.html": units_shown.page(name, units)}
    return Extra(pages, units_shown.shown(units), {"units": plain(units)})


def of_questions(name: str, questions: list[Question], count: int) -> Extra:
    """Which steps decided the answers, and what ``count`` units did meanwhile."""
    decided, units = [own for one in questions for own in decide(one)], units_of(questions, count)
    pages = {
        "steps.html": decisions_shown.page(name, decided),
        "units.html": units_shown.page(name, units),
    }
    shown = Group(decisions_shown.shown(decided), units_shown.shown(units))
    return Extra(pages, shown, {"decisions": plain(decided), "units": plain(units)})
