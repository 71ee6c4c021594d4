"""Changes to a module of PyTorch's that may not be loaded yet: made when it is, for loading it costs time."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Amend = Callable[[Any], None]


def when_loaded(name: str, amend: Amend) -> None:
    """``amend`` is called with the module: now where it is loaded, else as soon as it is."""
    if name in sys.modules:
        amend(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, amend))


class _Finder(MetaPathFinder):
    """Amends one module when it has been loaded; finds nothing else, and that once."""

    def __init__(self, name: str, amend: Amend) -> None:
        self.name, self.amend = name, amend

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_amend(module: ModuleType) -> None:
            load(module)
            self.amend(module)

        spec.loader.exec_module = load_and_amend  # type: ignore[method-assign]
        return spec
