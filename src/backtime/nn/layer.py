"""What the recurrent layers share: the arguments, the loop over layers and directions."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from backtime.nn import check, composed, entry, fused, noise, parameters, paths, short
from backtime.nn.explain import Explanation, explain
from backtime.nn.settings import Settings
from backtime.nn.tensors import Call, Options, States, Weights


class Trace(NamedTuple):
    """Every step of one layer and direction, rows as those of the layer's output."""

    h: Any  # (T, B, P)
    c: Any  # (T, B, H) of the LSTM, else None
    gates: dict[str, Any]  # each (T, B, H): i f g o; r z n; of the RNN and the Jordan network their z


class Recurrent(nn.RNNBase):
    """L recurrent layers, in one direction or both, with ``torch.nn``'s parameters: names, shapes, values.

    It has all that ``torch.nn.RNNBase`` has and means. ``_flat_weights`` and ``all_weights`` hold
    what options add as well, after torch.nn's weights of the same layer and direction.
    """

    cell: str
    settings: Settings
    _names: list[parameters.Names]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Check the arguments and draw the initial weights."""
        nn.Module.__init__(self)  # RNNBase would make torch.nn's parameters alone, and knows four modes
        check.check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check.check_flags(bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        check.check_share(dropout=dropout)
        check.check_dtype(dtype)
        self.settings = settings or Settings()
        self.settings.check(self.cell, bias, bidirectional)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.mode = parameters.mode(self.cell, self.settings.kernel)
        parameters.register(self, device, dtype)
        self._init_flat_weights()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), in the order in which torch.nn draws them."""
        parameters.reset(self)

    def flatten_parameters(self) -> None:
        """Lays the weights out for cuDNN, where it can run the layer; elsewhere there is nothing to do."""
        if fused.plain(self):
            super().flatten_parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Also what was pickled before these layers were torch.nn's."""
        super().__setstate__(parameters.with_flat_weights(self.cell, state))  # type: ignore[no-untyped-call]

    def explain(self) -> Explanation:
        """Which path a call of this layer takes as it is now, and why."""
        return explain(self)

    def _weights(self, names: parameters.Names) -> Weights:
        # an attribute that is no parameter: weight norm, pruning and parametrizations put plain tensors there
        own = self._parameters
        found = [None if n is None else getattr(self, n) if (w := own.get(n)) is None else w for n in names]
        return Weights._make(found)

    def _run(
        self, x: Any, hx: States | None, lengths: Any, reset: Tensor | None, trace: bool
    ) -> tuple[Any, ...]:
        """In and out as ``torch.nn`` has it: ``y``, the last state, and what is traced or None."""
        if lengths is None and reset is None and not trace and (done := short.run(self, x, hx)):
            return *done, None
        weights = [self._weights(names) for names in self._names]
        frame = entry.enter(self, x, lengths, weights[0].Wx)
        state = entry.enter_state(self, hx, frame, weights[0].Wx)
        cuts = None if reset is None else entry.enter_reset(reset, frame, x)
        if fused.fits(self, frame, weights[0].Wx, cuts, trace):
            y, last = fused.run(self, frame, state, weights)
            return frame.leave(y), tuple(frame.leave_state(s) for s in last), None
        y, ends, steps = self._run_layers(frame, state, weights, cuts, trace)
        last = tuple(
            frame.leave_state(s[0].unsqueeze(0) if len(s) == 1 else torch.stack(s))
            for s in zip(*ends, strict=True)
        )
        return frame.leave(y), last, tuple(_traced(step, frame) for step in steps)

    def _run_layers(
        self, frame: Any, state: States, weights: list[Weights], cuts: Tensor | None, trace: bool
    ) -> tuple[Tensor, list[States], list[composed.Result]]:
        starts: list[States] = list(zip(*(s.unbind(0) for s in state), strict=True)) or [()] * len(weights)
        y, D = frame.x, 2 if self.bidirectional else 1
        ends, steps = [], []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                y = functional.dropout(y, self.dropout, True)
            own = range(layer * D, layer * D + D)
            calls = [self._call(frame, weights[n], cuts, reverse=n % D == 1) for n in own]
            below = [starts[n] for n in own]
            if trace:
                taken = [composed.forward(c, y, s, w) for (c, w), s in zip(calls, below, strict=True)]
                steps += taken
                y = taken[0].y if D == 1 else torch.cat([one.y for one in taken], -1)
                ends += [one.last for one in taken]
            else:
                y, last = self._layer(calls, y, below)
                ends += last
            if D == 2 and self.settings.merge == "sum":
                y = torch.add(*y.chunk(2, -1))
        return y, ends, steps

    def _layer(
        self, calls: list[tuple[Call, Weights]], x: Tensor, states: list[States]
    ) -> tuple[Tensor, list[States]]:
        """One layer, in one direction or both."""
        backend = self.settings.backend
        if len(calls) == 1:
            y, last = paths.run(calls[0][0], x, states[0], calls[0][1], backend)
            return y, [last]
        (call_f, own_f), (call_r, own_r) = calls
        y, (last_f, last_r) = paths.run_both(
            (call_f, call_r), x, (states[0], states[1]), (own_f, own_r), backend
        )
        return y, [last_f, last_r]

    def _call(self, frame: Any, own: Weights, cuts: Tensor | None, reverse: bool) -> tuple[Call, Weights]:
        """The call of one layer and direction, with its masks drawn."""
        options: Options = self.settings.kernel
        if self.settings.noisy:
            rows = frame.x.shape[:2] if frame.batch_sizes is None else frame.x.shape[:1]
            options = noise.call_options(self.cell, self.settings, self.training, rows, frame.B, own)
        if self.settings.weight_dropout and self.training:
            own = noise.dropped(own, self.settings.weight_dropout)
        if cuts is not None:
            options = options | {"reset": cuts}
        return Call(self.cell, options, frame.batch_sizes, reverse), own

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults, as torch.nn prints them."""
        usual = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False,
        }  # fmt: skip
        values = {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}
        names = {"activation": "nonlinearity", "output_activation": "output_nonlinearity"}
        values |= {names.get(name, name): value for name, value in self.settings.kernel.items()}
        values |= self.settings.given()
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *(f"{n}={v}" for n, v in values.items())])


def _traced(step: composed.Result, frame: Any) -> Trace:
    h, *c = (frame.leave(part) for part in step.states)
    return Trace(h, c[0] if c else None, {name: frame.leave(gate) for name, gate in step.gates.items()})
