"""The version, from the installed package, or from the checkout that this file is in."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def _of_checkout() -> str:
    """What pyproject.toml says, where the sources are used as they are (``PYTHONPATH=src``)."""
    try:
        project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
    except (OSError, ValueError, LookupError):
        return "unknown"
    return str(project["version"])


try:
    __version__ = version("backtime")
except PackageNotFoundError:
    __version__ = _of_checkout()
