"""docs/gradient-through-time.md: its commands run, and print what it shows."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from backtime.data.text.vocabulary import Vocabulary
from backtime.models import LanguageConfig
from backtime.models.file import ModelFile, write_model
from derive_shell import printed

pytestmark = pytest.mark.usefixtures("own_folder")

# The page docs/gradient-through-time.md.

PAGE = Path(__file__).parents[1] / "docs" / "gradient-through-time.md"


def desk(folder: Path) -> None:
    """What the commands of the page speak of."""
    (folder / "two-layers.json").write_text((PAGE.parent / "pictures" / "two-layers.json").read_text())
    config = LanguageConfig("lstm", 6, 2, 27)
    random = np.random.default_rng(1)
    tensors = {name: random.standard_normal(shape) for name, shape in config.shapes().items()}
    (folder / "runs/book-lstm-1/best").mkdir(parents=True)
    vocabulary = Vocabulary("char", ["O", *" abcdefghijklmnopqrstuvwxy"])
    model = ModelFile("language", config, {"vocabulary": vocabulary.to_json()}, tensors)
    write_model(folder / "runs/book-lstm-1/best/model.safetensors", model)


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"))


def test_the_page_shows_the_numbers_that_it_speaks_of() -> None:
    assert blocks("json") == [(PAGE.parent / "pictures" / "two-layers.json").read_text()]


@pytest.mark.slow
def test_every_command_of_the_page_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    desk(tmp_path)
    commands = [shlex.split(line, comments=True) for line in "".join(blocks("sh")).splitlines()]
    assert len(commands) == 10
    for words in commands:
        assert words[:2] == ["backtime", "derive"] and printed(capsys, *words[2:])


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    desk(tmp_path)
    shown = [block.partition("\n") for block in re.findall(r"(?ms)^```\n(\$ .*?)^```", PAGE.read_text())]
    assert len(shown) == 2
    for command, _, output in shown:
        assert command.startswith("$ backtime derive ")
        out = printed(capsys, *shlex.split(command)[3:])
        head, dots, _ = output.partition("...\n")
        assert out.startswith(head) if dots else out == output
