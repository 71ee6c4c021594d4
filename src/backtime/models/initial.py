"""Initial weights of recurrent layers other than torch.nn's: what helps a gradient through time.

orthogonal   Wh of each gate a random orthogonal matrix (Saxe et al., arXiv 1312.6120); biases 0
identity     Wh of each gate the identity, Wx from N(0, 0.001^2), biases 0 (Le et al., arXiv 1504.00941)
xavier       Wx and Wh of each gate from U(-a, a), a = sqrt(6 / (fan in + fan out)); biases 0 (Glorot and
             Bengio 2010)
"""

import torch
from torch import Tensor, nn

from backtime.errors import UsageError
from backtime.kernels import GATES

IDENTITY_DEVIATION = 0.001  # of Wx


@torch.no_grad()
def initialise(network: nn.Module, init: str, bound: float | None, forget_bias: float | None) -> None:
    """Draw the weights anew: of the recurrent layers by ``init``, or all of them from U(-bound, bound).

    Layer norm keeps its gains of 1 and shifts of 0.

    ``forget_bias`` is then the LSTM's b_f (Jozefowicz et al. 2015): it stands in the bias of the input, that
    of the state is 0. Raises ``UsageError`` where there is no forget gate.
    """
    if bound is not None:
        for name, parameter in network.named_parameters():
            if not name.rpartition(".")[2].startswith(("gain_", "bias_c_")):
                parameter.uniform_(-bound, bound)
    layers = [part for part in network.modules() if isinstance(part, nn.RNNBase)]
    for layer in layers:
        if init != "torch":
            _draw(layer, init)
        if forget_bias is not None:
            _set_forget_bias(layer, forget_bias)


def _draw(layer: nn.RNNBase, init: str) -> None:
    gates = GATES[layer.mode.partition("_")[0].lower()]
    for name, weight in layer.named_parameters():
        if name.startswith("bias"):
            weight.zero_()
        elif name.startswith(("weight_ih", "weight_hh")):
            for block in weight.chunk(gates):
                _draw_block(block, init, name.startswith("weight_hh"))


def _draw_block(block: Tensor, init: str, recurrent: bool) -> None:
    if init == "xavier" or (init == "orthogonal" and not recurrent):
        nn.init.xavier_uniform_(block)
    elif init == "orthogonal":
        nn.init.orthogonal_(block)
    elif recurrent:
        nn.init.eye_(block)
    else:
        nn.init.normal_(block, std=IDENTITY_DEVIATION)


def _set_forget_bias(layer: nn.RNNBase, value: float) -> None:
    if layer.mode != "LSTM":
        raise UsageError(f"--forget-bias {value:g} with --cell {layer.mode.lower()}; expected --cell lstm")
    for name, bias in layer.named_parameters():
        if name.startswith(("bias_ih", "bias_hh")):
            bias.chunk(4)[1].fill_(value if name.startswith("bias_ih") else 0.0)
