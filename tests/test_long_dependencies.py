"""The page about long dependencies: its commands and snippets are run in order, its quotations compared."""

import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backtime.cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "long-dependencies.md"
SURVEY = ""  # a block without a language takes too long: it is always run with few steps
SMALL = "--steps 2 --delays 10,20 --quiet"
SHORT = {"train": "--epochs 1 --max-steps 3", "bench": SMALL, "--write": "--count 300"}


class Part(NamedTuple):
    """A fenced block, by its language, or the lines of an output that the page quotes."""

    kind: str
    text: str


def parts(page: str) -> list[Part]:
    """The blocks of a page and its quoted outputs, which stand four spaces in, in their order."""
    found = re.findall(r"(?ms)^```(\w*)\n(.*?)^```|((?:^ {4}[^\n]*\n)+)", page)
    return [Part("quoted", quoted) if quoted else Part(kind, text) for kind, text, quoted in found]


def commands(text: str) -> list[list[str]]:
    lines = text.replace("\\\n", " ").splitlines()
    return [words[1:] for words in (shlex.split(line, comments=True) for line in lines) if words]


def run(part: Part, short: bool) -> None:
    """Run the commands of a block, with ``short`` for few steps only, or a snippet."""
    if part.kind == "python":
        exec(compile(part.text, PAGE.name, "exec"), {"__name__": "page"})
    for words in commands(part.text) if part.kind in ("sh", SURVEY) else []:
        name = "--write" if "--write" in words else words[0]
        little = short or (part.kind == SURVEY and name == "bench")
        assert main([*words, *(SHORT.get(name, "") if little else "").split()]) == 0, words


def agree(quoted: str, line: str) -> bool:
    """The same words in their order; numbers within a third of each other, or both under 0.02.

    Another machine rounds otherwise and comes to other weights, another Python has other sources: what a
    reader is to see are the words, and the numbers' size. The bars of a curve are not compared.
    """
    a, b = (re.sub("[▁-█]+", "", own).split() for own in (quoted, line))
    return len(a) == len(b) and all(map(_alike, a, b))


def _alike(a: str, b: str) -> bool:
    if a == b:
        return True
    pattern = r"([^\d]*?)(\d+(?:\.\d+)?)([^\d]*)"
    one, other = re.fullmatch(pattern, a), re.fullmatch(pattern, b)
    if not one or not other or (one[1], one[3]) != (other[1], other[3]):
        return False
    x, y = float(one[2]), float(other[2])
    return abs(x - y) <= max(x, y) / 3 or max(x, y) < 0.02


def check(quoted: str, output: str) -> None:
    for line in quoted.splitlines():
        assert any(agree(line, own) for own in output.splitlines()), f"not in the output: {line}\n{output}"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")  # as wide as the page quotes
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_page_works(desk: Path, capsys: Any) -> None:
    """With a few steps of training each."""
    kinds = [part.kind for part in parts(PAGE.read_text())]
    assert kinds.count("sh") >= 4 and kinds.count("quoted") >= 4 and kinds.count("python") == 2
    for part in parts(PAGE.read_text()):
        run(part, short=True)
    assert len(list(Path("runs").iterdir())) == 4


@pytest.mark.slow
def test_the_page_quotes_what_its_commands_say(desk: Path, capsys: Any) -> None:
    said = ""
    for part in parts(PAGE.read_text()):
        if part.kind == "quoted":
            check(part.text, said)
            continue
        capsys.readouterr()
        run(part, short=False)
        said = capsys.readouterr().out


def test_what_is_quoted_wrongly_is_seen() -> None:
    output = "before: healthy (T = 50)\n  reaches 10 steps back\nmse   0.1660\n rnn l0  2  9  ██▇▆ 0/64\n"
    for right in ("  reaches 9 steps back", "mse   0.1702", " rnn l0  2  8  ▇▆▁ 0/64"):
        check(right, output)
    for wrong in ("  reaches 19 steps back", "mse 0.0004", "before: vanishing (T = 50)", "mae 0.1660"):
        with pytest.raises(AssertionError, match="not in the output"):
            check(wrong, output)


def test_a_command_that_fails_is_seen(desk: Path) -> None:
    with pytest.raises(AssertionError, match="evaluate"):
        run(Part("sh", "backtime evaluate runs/nowhere test.csv\n"), short=False)


def test_parts_are_found_in_their_order() -> None:
    page = "a\n\n```sh\nbacktime x \\\n  --y 1  # z\n```\n\nSays:\n\n    one\n      two\n\n```\nb\n```\n"
    assert [own.kind for own in parts(page)] == ["sh", "quoted", ""]
    assert commands(parts(page)[0].text) == [["x", "--y", "1"]]
