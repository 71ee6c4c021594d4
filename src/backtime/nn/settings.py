"""Where modules that were pickled before look for ``Settings``."""

from backtime.nn.options import Settings

__all__ = ["Settings"]
