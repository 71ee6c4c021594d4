"""So that ``torch.compile`` takes the layers into its graph, although they are ``torch.nn``'s.

Its tracer leaves every RNN, GRU and LSTM to plain PyTorch (a break of the graph, and an error with
``fullgraph=True``), unless ``torch._dynamo.config.allow_rnn`` is set. Set for all, it would also trace
torch.nn's own layers, whose training step then fails on the CPU; so it is set while a layer of ours is looked
at, and only then. The tracer loads with the first compilation: it is amended there, not loaded here.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TRACER = "torch._dynamo.variables.builder"


def take_in(kind: type) -> None:
    """From now on the tracer looks into modules of this ``kind``."""
    if TRACER in sys.modules:
        _amend(sys.modules[TRACER], kind)
    else:
        sys.meta_path.insert(0, _Finder(kind))


class _Finder(MetaPathFinder):
    """Amends the tracer when it has been loaded; finds nothing else, and that once."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != TRACER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_amend(module: ModuleType) -> None:
            load(module)
            _amend(module, self.kind)

        spec.loader.exec_module = load_and_amend  # type: ignore[method-assign]
        return spec


def _amend(tracer: Any, kind: type) -> None:
    """A later PyTorch may have no such method: the graph then breaks at a layer, as at torch.nn's."""
    builder: Any = getattr(tracer, "VariableBuilder", None)
    wrap_module = getattr(builder, "wrap_module", None)
    if wrap_module is None or not hasattr(tracer.config, "allow_rnn"):
        return

    def wrap(self: Any, value: Any) -> Any:
        with tracer.config.patch(allow_rnn=tracer.config.allow_rnn or isinstance(value, kind)):
            return wrap_module(self, value)

    builder.wrap_module = wrap
