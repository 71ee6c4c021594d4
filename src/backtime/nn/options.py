"""What a layer can do beyond ``torch.nn``'s, by keyword of its constructor, and what it draws for a call."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from backtime.nn import validation
from backtime.nn.forks import serial_in_a_child
from backtime.nn.layouts import columns, extent
from backtime.nn.types import Network, Options
from backtime.nn.validation import ArgumentError

BACKENDS = ("auto", "native", "composed")


@dataclass(frozen=True)
class Settings:
    """The options of a layer; every default is what ``torch.nn`` does."""

    kernel: Options = field(default_factory=dict)  # activation, reset_after, coupled, output_activation
    layer_norm: bool = False
    peephole: bool = False
    zoneout: Any = 0.0  # of the state, or for the LSTM the pair (of h, of c)
    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    variational_dropout: bool = False
    leak: float | None = None
    learned_state: bool = False
    forget_bias: float | None = None
    merge: str = "concat"
    backend: str = "auto"

    def check(self, cell: str, bias: bool, bidirectional: bool) -> None:
        """Each on its own, then what does not go together."""
        validation.check_flags(
            layer_norm=self.layer_norm,
            peephole=self.peephole,
            learned_state=self.learned_state,
            variational_dropout=self.variational_dropout,
        )
        validation.check_share(recurrent_dropout=self.recurrent_dropout, weight_dropout=self.weight_dropout)
        self._check_zoneout(cell)
        validation.check_choice("merge", self.merge, ("concat", "sum"))
        validation.check_choice("backend", self.backend, BACKENDS)
        self._check_leak()
        if self.layer_norm and not self.kernel.get("reset_after", True):
            raise ArgumentError("layer_norm is True with reset_after=False; expected reset_after=True")
        if self.layer_norm and self.kernel.get("coupled"):  # LN takes the rows of all gates
            raise ArgumentError("layer_norm is True with coupled=True; expected coupled=False")
        if self.forget_bias is not None and not bias:
            raise ArgumentError("forget_bias is given with bias=False; expected bias=True")
        if self.forget_bias is not None and self.kernel.get("coupled"):
            raise ArgumentError("forget_bias is given with coupled=True, which has no forget gate of its own")
        if self.merge == "sum" and not bidirectional:
            raise ArgumentError("merge is 'sum' with bidirectional=False; expected bidirectional=True")

    def _check_zoneout(self, cell: str) -> None:
        pair = isinstance(self.zoneout, tuple)
        if pair and (cell != "lstm" or len(self.zoneout) != 2):
            raise ArgumentError(
                f"zoneout is {self.zoneout!r}; expected a number, or for the LSTM a pair (h, c)"
            )
        for share in self.zoneouts:
            validation.check_share(zoneout=share)

    def _check_leak(self) -> None:
        if self.leak is None:
            return
        validation.check_share(leak=self.leak)
        if self.zoneout:
            raise ArgumentError("leak and zoneout are both given; expected one of them")

    @property
    def zoneouts(self) -> tuple[float, float]:
        """Of h, and of c where there is one."""
        return self.zoneout if isinstance(self.zoneout, tuple) else (self.zoneout, self.zoneout)

    @property
    def noisy(self) -> bool:
        """Whether a call has options or weights of its own besides ``kernel``."""
        share = any(self.zoneouts) or bool(self.recurrent_dropout) or self.leak is not None
        return share or bool(self.weight_dropout)

    def given(self) -> dict[str, Any]:
        """What is not at its default, to be printed."""
        usual = Settings()
        names = [name for name in self.__dataclass_fields__ if name != "kernel"]
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(usual, name)}


# What is drawn for each call, by torch's generator, so that a seed repeats it; in the order of the layers.


def with_noise(
    network: Network, settings: Settings, training: bool, x: Tensor, weights: list[Tensor]
) -> tuple[Network, list[Tensor]]:
    """The network with its options and masks, and the weights with elements dropped, for this call."""
    rows, B = extent(network, x)
    weights, options, masks = list(weights), [], []
    n = len(network.fields)
    with serial_in_a_child():
        for k, w in enumerate(network.each(weights)):
            if k and k % network.per_layer == 0 and network.dropout:
                P = w.Wx.shape[1]  # what the layer below gives
                once = settings.variational_dropout
                masks.append(_between(network, rows, B, w.Wx.new_ones(1, P), once))
            H = w.Wh.shape[1] if w.Wy is None else w.Wy.shape[1]
            options.append(_options(network.cell, settings, training, rows, B, w.Wh.shape[1], H, w.Wx))
            if settings.weight_dropout and training:
                weights[k * n + 1] = functional.dropout(w.Wh, settings.weight_dropout)
    usual = not any(options)
    return network._replace(options=() if usual else tuple(options), masks=tuple(masks)), weights


def _between(network: Network, rows: tuple[int, ...], B: int, like: Tensor, once: bool) -> Tensor:
    """The mask (T, B, P) or (R, P) between two layers: new at each step, or ``once`` for a sequence."""
    P = like.shape[1]
    if not once:
        return functional.dropout(like.new_ones(*rows, P), network.dropout)
    mask = functional.dropout(like.new_ones(B, P), network.dropout)
    if len(rows) == 2:
        return mask.expand(*rows, P).contiguous()
    return mask.index_select(0, columns(network).to(mask.device))


def _options(
    cell: str,
    settings: Settings,
    training: bool,
    rows: tuple[int, ...],
    B: int,
    P: int,
    H: int,
    like: Tensor,
) -> Options:
    """The options of one layer and direction; ``rows`` is (T, B), or (R,) of packed rows.

    Zoneout keeps with its probability in training, and in evaluation that share (arXiv 1606.01305).
    Variational dropout has one mask (B, P) for all steps (arXiv 1512.05287).
    """
    options = dict(settings.kernel)
    parts = [("keep_h", P), ("keep_c", H)] if cell == "lstm" else [("keep_h", P)]
    for (name, width), share in zip(parts, settings.zoneouts, strict=False):
        if share:
            options[name] = _zones(like, (*rows, width), share) if training else share
    if settings.leak is not None:
        options["keep_h"] = 1.0 - settings.leak
    if training and settings.recurrent_dropout:
        options["h_mask"] = functional.dropout(like.new_ones(B, P), settings.recurrent_dropout)
    return options


def _zones(like: Tensor, shape: tuple[int, ...], share: float) -> Tensor:
    """1 with probability ``share``, else 0."""
    return torch.rand(shape, dtype=torch.float32, device=like.device).lt(share).to(like.dtype)
