"""That the documents are true: their links, their commands, their Python. ``make docs`` runs this."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from backtime.cli import main as command_line

ROOT = Path(__file__).parents[1]
# The documents. `make docs` runs what follows.

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/*.md")),
]
documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def broken_links(text: str, folder: Path) -> list[str]:
    """Relative links to nowhere."""
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```", "", text))
    targets = [link.partition("#")[0] for link in links if "://" not in link]
    return [target for target in targets if target and not (folder / target).exists()]


@documents
def test_documents_link_to_files_that_exist(document: Path) -> None:
    assert broken_links(document.read_text(), document.parent) == []


def test_documents_with_a_broken_link_are_seen(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    text = "[a](here.md#part) [b](gone.md) [c](https://example.org) ```[d](code)```"
    assert broken_links(text, tmp_path) == ["gone.md"]


def test_documents_are_all_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"}
    assert pages - set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == set()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text)


def commands(text: str) -> list[list[str]]:
    """Words of the ``backtime`` commands in shell blocks and blocks without a language."""
    lines = "".join(blocks(text, "") + blocks(text, "sh")).replace("\\\n", " ").splitlines()
    found = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if "backtime " in line]
    return [words[1:] for words in found if words[0] == "backtime"]


@documents
def test_documents_show_commands_that_exist(document: Path) -> None:
    for words in commands(document.read_text()):
        command_line._parser(words).parse_args(words)


def test_documents_with_a_wrong_command_are_seen() -> None:
    [words] = commands("```sh\n$ backtime sample runs/x --no-such-option  # comment\nls\n```")
    with pytest.raises(SystemExit):
        command_line._parser(words).parse_args(words)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the snippets find what they speak of: ``book.txt`` and ``runs/book-lstm-1``."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "book.txt").write_text("Once upon a time the quick brown fox jumps over lazy dogs: abc.\n" * 99)
    words = "train book.txt --hidden-size 8 --seq-length 8 --batch-size 4 --max-steps 3 --quiet"
    subprocess.run([sys.executable, "-m", "backtime", *words.split()], cwd=folder, check=True)
    return folder


@pytest.mark.slow
@documents
def test_documents_show_python_that_runs(document: Path, desk: Path) -> None:
    """The snippets of a page, one after the other, as one program."""
    program = "\n".join(blocks(document.read_text(), "python"))
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=desk, stderr=-1, text=True)
    assert run.returncode == 0, f"{program}\n{run.stderr}"
