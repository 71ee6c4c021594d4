"""``backtime derive`` in this process."""

from typing import Any

import pytest

from backtime.cli.main import main


def printed(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    capsys.readouterr()
    assert main(["derive", *map(str, words)]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    return out
