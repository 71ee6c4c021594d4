"""The call of the layers whose state is one tensor."""

from typing import Any

from torch import Tensor

from backtime.nn.layer import Recurrent


class OneState(Recurrent):
    """A layer whose state is one tensor: h, or the output of the Jordan network."""

    def forward(
        self,
        input: Any,
        hx: Tensor | None = None,
        *,
        lengths: Any = None,
        reset: Tensor | None = None,
        trace: bool = False,
    ) -> Any:
        """Outputs ``y`` (T, B, P) of the last layer and the last state ``h_n`` (L, B, P) of every layer.

        P is H, or the width of the Jordan network's output, its state. ``input`` is (T, B, I) floats, or
        (T, B) integers for one-hot input; (B, T, ...) with ``batch_first``, without B for a single
        sequence; or a ``PackedSequence``, and then ``y`` is one. In both directions P is 2P in ``y`` and
        L is 2L. ``hx`` is the state before the first step (L, B, P); None is zeros. ``lengths``,
        ``reset`` and ``trace``, which adds a third result: docs/pytorch.md.
        """
        y, (h,), steps = self._run(input, None if hx is None else (hx,), lengths, reset, trace)
        return (y, h, steps) if trace else (y, h)
