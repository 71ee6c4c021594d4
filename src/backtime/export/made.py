"""What a format makes of a model, before anything is written."""

from pathlib import Path
from typing import NamedTuple


class Made(NamedTuple):
    """The content of each file, and lines about what was found when they were tried."""

    files: dict[Path, bytes]
    lines: list[str]
