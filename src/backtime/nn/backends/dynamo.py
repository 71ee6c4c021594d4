"""So that ``torch.compile`` takes the layers into its graph, although they are ``torch.nn``'s.

Its tracer leaves every RNN, GRU and LSTM to plain PyTorch (a break of the graph, and an error with
``fullgraph=True``), unless ``torch._dynamo.config.allow_rnn`` is set. Set for all, it would also trace
torch.nn's own layers, whose training step then fails on the CPU; so it is set while a layer of ours is looked
at, and only then. The tracer loads with the first compilation: it is amended there, not loaded here.
"""

from typing import Any

from backtime.nn.amend import when_loaded

TRACER = "torch._dynamo.variables.builder"


def take_in(kind: type) -> None:
    """From now on the tracer looks into modules of this ``kind``."""
    when_loaded(TRACER, lambda tracer: _amend(tracer, kind))


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
