"""What the recurrent layers share: the arguments, the parameters, the way of a call."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from backtime.nn import backends, parameters, recording, validation
from backtime.nn.backends import cudnn, expanded
from backtime.nn.call_validation import check_call, sequences_of
from backtime.nn.layouts import packed_as, sequences
from backtime.nn.options import Settings, with_noise
from backtime.nn.recording import script
from backtime.nn.types import BOTH, FORWARD, Network, States


class Recurrent(nn.RNNBase):
    """L recurrent layers, in one direction or both, with ``torch.nn``'s parameters: names, shapes, values.

    It has all that ``torch.nn.RNNBase`` has and means. ``_flat_weights`` and ``all_weights`` hold
    what options add as well, after torch.nn's weights of the same layer and direction.
    """

    cell: str
    settings: Settings

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
        validation.check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        validation.check_flags(bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        validation.check_share(dropout=dropout)
        validation.check_dtype(dtype)
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
        if cudnn.has(self._network()):
            super().flatten_parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Also what was pickled before these layers were torch.nn's."""
        super().__setstate__(parameters.with_flat_weights(self.cell, state))  # type: ignore[no-untyped-call]

    def __prepare_scriptable__(self) -> Any:
        """``torch.nn``'s layer on the same parameters, for ``torch.jit.script``."""
        return script.prepared(self)

    def explain(self) -> backends.Explanation:
        """Which path a call of this layer takes as it is now, with floats, and why."""
        like = self._weights()[0]
        path, why = backends.explain(self._network(), like, self.settings.backend, self.settings.noisy)
        dtype = str(like.dtype).removeprefix("torch.")
        options = self.settings.kernel | self.settings.given()
        return backends.Explanation(path, why, str(like.device), dtype, options)

    def _run(
        self,
        x: Any,
        hx: States | None,
        lengths: Any,
        reset: Tensor | None,
        trace: bool | None,
        recorded: bool,
    ) -> tuple[Any, ...]:
        """In and out as ``torch.nn`` has it: ``y``, the last state, and what is traced or None."""
        weights = self._weights()
        network = self._network(sequences(x, lengths), reset)
        rows, hx = backends.in_type(x.data if isinstance(x, PackedSequence) else x, hx, weights[0])
        if self.settings.learned_state and hx is None:
            hx = self._learned_state(network, rows, weights)
        if self.settings.noisy or network.dropout:
            network, weights = self._with_noise(network, rows, hx, weights)
        if trace:
            return backends.run_traced(network, rows, hx, weights, packed_as(x))
        y, last = backends.run(network, rows, hx, weights, self.settings.backend, recorded)
        return packed_as(x)(y), last, None

    def _weights(self) -> list[Tensor]:
        """The weights of all layers; one that is no parameter is computed, or was put there."""
        registered: Any = self._parameters
        try:
            return [registered[name] for name in self._flat_weights_names]
        except KeyError:  # weight norm, pruning and parametrizations put plain tensors there
            return [getattr(self, name) for name in self._flat_weights_names]

    def _network(self, in_rows: Any = None, reset: Tensor | None = None) -> Network:
        """What a call is made of, apart from its tensors and what is drawn for it."""
        settings, K = self.settings, len(self._all_weights)
        return Network(
            self.cell,
            parameters.fields(self),
            BOTH if self.bidirectional else FORWARD,
            settings.merge == "sum",
            self.batch_first,
            False,
            in_rows,
            reset,
            (settings.kernel,) * K if settings.kernel else (),
            self.dropout if self.training and self.num_layers > 1 else 0.0,
        )

    def _with_noise(
        self, network: Network, x: Any, hx: States | None, weights: list[Tensor]
    ) -> tuple[Network, list[Tensor]]:
        """What is drawn for one call, after a look at it: a refused one draws nothing."""
        drawn = self.settings.noisy or self.settings.variational_dropout
        if expanded.among(weights):
            return (network, weights) if not drawn else expanded.refuse()
        check_call(network, x, hx, weights)
        if not drawn and cudnn.fits(network, x, weights):
            return network, weights  # which draws for itself
        return with_noise(network, self.settings, self.training, x, weights)

    def _learned_state(self, network: Network, x: Any, weights: list[Tensor]) -> States:
        if expanded.among(weights):
            expanded.refuse()
        check_call(network, x, None, weights)
        B = sequences_of(network, x)
        state = (getattr(self, name) for name in parameters.state_widths(self))
        return tuple(part if B is None else part.unsqueeze(1).expand(-1, B, -1) for part in state)

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


class OneState(Recurrent):
    """A layer whose state is one tensor: h, or the output of the Jordan network."""

    def forward(
        self,
        input: Any,
        hx: Tensor | None = None,
        lengths: Any = None,
        reset: Tensor | None = None,
        trace: bool | None = None,  # None, for torch.onnx's older exporter hands on what is not given
    ) -> Any:
        """Outputs ``y`` (T, B, P) of the last layer and the last state ``h_n`` (L, B, P) of every layer.

        P is H, or the width of the Jordan network's output, its state. ``input`` is (T, B, I) floats, or
        (T, B) integers for one-hot input; (B, T, ...) with ``batch_first``, without B for a single
        sequence; or a ``PackedSequence``, and then ``y`` is one. In both directions P is 2P in ``y`` and
        L is 2L. ``hx`` is the state before the first step (L, B, P); None is zeros. ``lengths``,
        ``reset`` and ``trace``, which adds a third result: docs/pytorch.md.
        """
        recorded = backends.recorded()
        run = self._run if type(input) is Tensor and not recorded else recording.of_layer(self, input)
        y, (h,), steps = run(input, None if hx is None else (hx,), lengths, reset, trace, recorded)
        return (y, h, steps) if trace else (y, h)
