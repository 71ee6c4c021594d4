"""Fields that say their range: what they refuse, and the options that are made of them."""

import argparse
import math
from dataclasses import dataclass
from typing import Any

import pytest

from backtime.cli.options import add_fields, chosen
from backtime.errors import UsageError
from backtime.fields import check, described, flag, kinds


@dataclass(frozen=True)
class Options:
    size: int = described(8, "how many", least=1)
    rate: float = described(0.5, "100 % of it", group="speed", above=0, below=1)
    kind: str = described("a", "which", choices=("a", "b"))
    limit: float | None = described(None, "how long", least=0)
    twice: bool = described(False, "do it twice")
    after: bool = described(True, "after it", off=("--before", "before it"))
    name: str | None = described(None, "a word")

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "--size is 0; expected 1 or more"),
        ({"size": "8"}, "--size is '8'; expected a whole number"),
        ({"size": 8.0}, "--size is 8.0; expected a whole number"),
        ({"size": True}, "--size is True; expected a whole number"),
        ({"size": None}, "--size is None; expected a whole number"),
        ({"rate": 1}, "--rate is 1; expected a number above 0 and less than 1"),
        ({"rate": math.nan}, "--rate is nan; expected a number above 0 and less than 1"),
        ({"rate": [0.5]}, r"--rate is \[0.5\]; expected a number"),
        ({"kind": "c"}, "--kind is 'c'; expected one of a, b"),
        ({"kind": ["a"]}, r"--kind is \['a'\]; expected one of a, b"),
        ({"limit": -1.0}, "--limit is -1.0; expected 0 or more"),
        ({"limit": math.inf}, "--limit is inf; expected 0 or more"),
        ({"twice": 1}, "--twice is 1; expected true or false"),
        ({"name": 5}, "--name is 5; expected text"),
    ],
)
def test_what_a_field_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        Options(**values)


def test_what_a_field_takes() -> None:
    for values in ({"limit": None}, {"limit": 3}, {"rate": 0.999}, {"name": None}, {"after": False}):
        Options(**values)
    assert kinds(Options)["limit"] is float and kinds(Options)["name"] is str
    assert flag("two_words") == "--two-words"


def test_fields_as_options(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_fields(parser, Options, ("speed",))

    def parsed(*words: str) -> dict[str, Any]:
        return chosen(parser.parse_args(words), Options)

    assert parsed() == {}  # what is not given is the dataclass's default
    assert parsed("--size", "3", "--twice", "--before") == {"size": 3, "twice": True, "after": False}
    assert parsed("--after", "--rate", "0.25", "--name", "x") == {"after": True, "rate": 0.25, "name": "x"}
    for words in (("--after", "--before"), ("--kind", "c"), ("--size", "x")):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
    capsys.readouterr()
    parser.print_help()
    shown = " ".join(capsys.readouterr().out.split())
    assert "--size N how many (default 8)" in shown and "--rate X 100 % of it (default 0.5)" in shown
    assert "--before before it" in shown and "--limit X how long" in shown and "{a,b}" in shown
