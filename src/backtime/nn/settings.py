"""What a layer can do beyond ``torch.nn``'s, by keyword of its constructor."""

from dataclasses import dataclass, field
from typing import Any

from backtime.nn import check
from backtime.nn.check import ArgumentError
from backtime.nn.paths import BACKENDS
from backtime.nn.tensors import Options


@dataclass(frozen=True)
class Settings:
    """The options of a layer; every default is what ``torch.nn`` does."""

    kernel: Options = field(default_factory=dict)  # activation, reset_after, coupled, output_activation
    layer_norm: bool = False
    peephole: bool = False
    zoneout: Any = 0.0  # of the state, or for the LSTM the pair (of h, of c)
    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    leak: float | None = None
    learned_state: bool = False
    forget_bias: float | None = None
    merge: str = "concat"
    backend: str = "auto"

    def check(self, cell: str, bias: bool, bidirectional: bool) -> None:
        """Each on its own, then what does not go together."""
        check.check_flags(
            layer_norm=self.layer_norm, peephole=self.peephole, learned_state=self.learned_state
        )
        check.check_share(recurrent_dropout=self.recurrent_dropout, weight_dropout=self.weight_dropout)
        self._check_zoneout(cell)
        check.check_choice("merge", self.merge, ("concat", "sum"))
        check.check_choice("backend", self.backend, BACKENDS)
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
            check.check_share(zoneout=share)

    def _check_leak(self) -> None:
        if self.leak is None:
            return
        check.check_share(leak=self.leak)
        if self.zoneout:
            raise ArgumentError("leak and zoneout are both given; expected one of them")

    @property
    def zoneouts(self) -> tuple[float, float]:
        """Of h, and of c where there is one."""
        return self.zoneout if isinstance(self.zoneout, tuple) else (self.zoneout, self.zoneout)

    @property
    def noisy(self) -> bool:
        """Whether a call has options of its own besides ``kernel``."""
        return any(self.zoneouts) or bool(self.recurrent_dropout) or self.leak is not None

    @property
    def plain(self) -> bool:
        """Whether a call is that of ``torch.nn``, on the engine where it can be."""
        usual = not (self.kernel or self.noisy or self.weight_dropout or self.learned_state)
        return usual and not self.layer_norm and not self.peephole and self.backend != "composed"

    def given(self) -> dict[str, Any]:
        """What is not at its default, to be printed."""
        usual = Settings()
        names = [name for name in self.__dataclass_fields__ if name != "kernel"]
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(usual, name)}
