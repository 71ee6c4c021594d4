"""The version, which the installed package states."""

from importlib.metadata import version

__version__ = version("backtime")
