"""Dataclass fields as options of a verb, and back: see ``backtime.fields``."""

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backtime.errors import UsageError, shown
from backtime.fields import about, flag, kinds
from backtime.models.file import task_of
from backtime.tasks import DEFAULT, TASKS, find
from backtime.tasks.base import TaskKind
from backtime.training.run_folder import task_of_run
from backtime.training.settings import MOST_THREADS


def add_fields(parser: argparse.ArgumentParser, cls: type, groups: Iterable[str] = ()) -> None:
    """An option for each described field of a dataclass, under its heading; ``groups`` come first, in order.

    An option that is not given does not appear in the namespace: the dataclass has the default.
    """
    headings: dict[str, Any] = dict.fromkeys(groups)
    described = [field for field in dataclasses.fields(cls) if "about" in field.metadata]
    headings |= {about(field).group: None for field in described}
    for name in headings:
        own = [field for field in described if about(field).group == name]
        group: Any = parser if name == "options" else parser.add_argument_group(name)
        for field in own:
            _add(group, field, kinds(cls)[field.name])


def chosen(args: argparse.Namespace, cls: type) -> dict[str, Any]:
    """The fields of a dataclass that were given on the command line."""
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: meant(value) for name, value in vars(args).items() if name in names}


def meant(value: Any) -> Any:
    """Text as it was meant, also where the locale is plain C and Python has taken its bytes apart."""
    if not isinstance(value, str) or value.isprintable():
        return value
    try:
        return value.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:  # no UTF-8: who uses it will say what is wrong
        return value


def check_threads(threads: int | None) -> None:
    """Raise ``UsageError`` unless ``--threads`` can be meant."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"--threads is {shown(threads)}; expected 1 to {MOST_THREADS:,}")


def _add(group: Any, field: "dataclasses.Field[Any]", kind: type) -> None:
    told, common = about(field), {"dest": field.name, "default": argparse.SUPPRESS}
    if kind is bool:
        off, off_help = told.off
        if off:
            group = group.add_mutually_exclusive_group()
            group.add_argument(off, action="store_false", help=_escaped(off_help), **common)
        group.add_argument(flag(field.name), action="store_true", help=_escaped(told.help), **common)
        return
    words = told.help
    if field.default not in (None, "") and told.tell_default:
        words += f" (default {field.default})"
    shown = {"choices": told.choices} if told.choices else {"metavar": _METAVARS.get(kind, "TEXT")}
    group.add_argument(flag(field.name), type=kind, help=_escaped(words), **shown, **common)


_METAVARS = {int: "N", float: "X"}


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def named_task(arguments: list[str]) -> TaskKind:
    """The task that ``--task`` names among the words of a command line, or that of the run to resume.

    Else the default one, also where the name is none: the parser will complain about it.
    """
    before = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    before.add_argument("--task")
    before.add_argument("--resume", type=Path)
    try:
        found = before.parse_known_args(arguments)[0]
    except argparse.ArgumentError:
        return find(DEFAULT)
    name = found.task or (found.resume and task_of_run(found.resume)) or DEFAULT
    return find(name if name in TASKS else DEFAULT)


def task_of_model(arguments: list[str]) -> TaskKind:
    """The task of the first word that is a model, whose options the verb then has; else the default one."""
    for word in arguments:
        if word.startswith("-") or not Path(word).exists():
            continue
        try:
            return find(task_of(word))
        except UsageError:  # some other file, or a damaged one: whoever opens it as a model will say so
            continue
    return find(DEFAULT)
