"""What tests say to ``backtime`` and what it answers, in this process."""

import json
from typing import Any

import pytest

from backtime.cli.main import main


def backtime(*words: Any, status: int = 0) -> None:
    """Run a command, which ends with ``status``."""
    assert main([str(word) for word in words]) == status


def printed(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    """What a command prints."""
    capsys.readouterr()
    backtime(*words)
    return capsys.readouterr().out


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines of JSON that were printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def refusal(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    """The one line with which a command is refused."""
    capsys.readouterr()
    backtime(*words, status=2)
    error = capsys.readouterr().err
    assert error.startswith("backtime: ") and error.count("\n") == 1
    return error
