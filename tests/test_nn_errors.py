"""What the layers refuse, in one line, as errors that code written for torch.nn catches."""

from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from backtime import UsageError, nn


def rejected() -> dict[str, Any]:
    rnn, lstm = nn.RNN(4, 6), nn.LSTM(4, 6, batch_first=True)
    x = torch.zeros(5, 3, 4)
    packed = pack_padded_sequence(x, torch.tensor([5, 4, 3]))
    return {
        r"input has shape \(5, 3, 7\); expected \(T, B, I\) with I = input_size = 4": lambda: rnn(
            torch.zeros(5, 3, 7)
        ),
        r"input has shape \(5,\); expected \(B, T, I\) or \(T, I\)": lambda: lstm(torch.zeros(5)),
        r"input has shape \(0, 3, 4\); expected T from 1": lambda: rnn(torch.zeros(0, 3, 4)),
        "input is torch.float64; expected torch.float32": lambda: rnn(x.double()),
        "input is a list; expected a tensor": lambda: rnn([1.0]),
        r"input has shape \(12, 4\); expected \(R, I\) with I = input_size = 5": lambda: nn.GRU(5, 6)(packed),
        "x has values from 0 to 4; expected 0 to": lambda: rnn(torch.arange(5)[:, None]),
        "x has values from -1 to -1; expected 0 to": lambda: rnn(torch.full((2, 2), -1)),
        r"h0 has shape \(3, 6\); expected \(L, B, H\) = \(1, 3, 6\)": lambda: rnn(x, torch.zeros(3, 6)),
        r"h0 has shape \(1, 3, 6\); expected \(L, H\) = \(1, 6\)": lambda: rnn(x[:, 0], torch.zeros(1, 3, 6)),
        "h0 is torch.int64": lambda: rnn(x, torch.zeros(1, 3, 6, dtype=torch.int64)),
        r"c0 has shape \(1, 3, 5\)": lambda: lstm(x, (torch.zeros(1, 5, 6), torch.zeros(1, 3, 5))),
        r"hx is a Tensor; expected the pair \(h0, c0\)": lambda: lstm(x, torch.zeros(1, 5, 6)),
        "input is a sparse_coo tensor; expected a dense one": lambda: rnn(x.to_sparse()),
        "input is a mkldnn tensor; expected a dense one": lambda: rnn(x.to_mkldnn()),
        "h0 is a sparse_coo tensor; expected a dense one": lambda: rnn(x, torch.zeros(1, 3, 6).to_sparse()),
        "input is on meta; expected cpu": lambda: rnn(x.to("meta")),
        "lengths is given with a PackedSequence": lambda: rnn(packed, lengths=[5, 4, 3]),
        r"lengths is given with input of shape \(5, 4\)": lambda: rnn(x[:, 0], lengths=[5]),
        r"lengths has values from 1 to 6; expected 0 to T = 5": lambda: rnn(x, lengths=[6, 1, 2]),
        r"lengths is torch.int64 of shape \(2,\); expected integers \(B,\) = \(3,\)": lambda: rnn(
            x, lengths=[5, 1]
        ),
        "lengths is torch.float32": lambda: rnn(x, lengths=torch.ones(3)),
        "lengths is 'abc'": lambda: rnn(x, lengths="abc"),
        "reset is torch.float32; expected torch.bool": lambda: rnn(x, reset=torch.zeros(5, 3)),
        r"reset has shape \(3, 5\); expected": lambda: rnn(x, reset=torch.zeros(3, 5, dtype=torch.bool)),
    }


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_refused() -> None:
    nested = torch.nested.nested_tensor([torch.zeros(3, 4), torch.zeros(2, 4)])
    with pytest.raises(UsageError, match="input is a nested tensor; expected a dense one"):
        nn.RNN(4, 6)(nested)


def refused_arguments() -> dict[str, Any]:
    return {
        "hidden_size is 0; expected a whole number from 1": lambda: nn.GRU(4, 0),
        "num_layers is 1.5": lambda: nn.GRU(4, 6, 1.5),  # type: ignore[arg-type]
        r"dropout is 2; expected a number in \[0, 1\]": lambda: nn.GRU(4, 6, dropout=2),
        "bias is 1; expected True or False": lambda: nn.GRU(4, 6, bias=1),  # type: ignore[arg-type]
        "proj_size is 6; expected 0, or 1 to hidden_size - 1 = 5": lambda: nn.LSTM(4, 6, proj_size=6),
        "nonlinearity is 'cos'; expected one of tanh, relu": lambda: nn.RNN(4, 6, nonlinearity="cos"),
        "dtype is torch.int64": lambda: nn.RNN(4, 6, dtype=torch.int64),
        "backend is 'fast'; expected one of auto, native, composed": lambda: nn.RNN(4, 6, backend="fast"),
        "merge is 'mean'; expected one of concat, sum": lambda: nn.RNN(4, 6, merge="mean"),
        "merge is 'sum' with bidirectional=False": lambda: nn.RNN(4, 6, merge="sum"),
        "layer_norm is True with reset_after=False": lambda: nn.GRU(4, 6, layer_norm=True, reset_after=False),
        "layer_norm is True with coupled=True": lambda: nn.LSTM(4, 6, layer_norm=True, coupled=True),
        "leak and zoneout are both given": lambda: nn.RNN(4, 6, leak=0.5, zoneout=0.1),
        r"leak is 2.0; expected a number in \[0, 1\]": lambda: nn.RNN(4, 6, leak=2.0),
        r"zoneout is \(0.1, 0.1\); expected a number": lambda: nn.GRU(4, 6, zoneout=(0.1, 0.1)),  # type: ignore[arg-type]
        r"zoneout is -1; expected a number in \[0, 1\]": lambda: nn.LSTM(4, 6, zoneout=(0.1, -1)),
        "forget_bias is given with bias=False": lambda: nn.LSTM(4, 6, bias=False, forget_bias=1.0),
        "forget_bias is given with coupled=True": lambda: nn.LSTM(4, 6, coupled=True, forget_bias=1.0),
        "layer_norm is 1; expected True or False": lambda: nn.LSTM(4, 6, layer_norm=1),  # type: ignore[arg-type]
        "recurrent_dropout is 1.5": lambda: nn.LSTM(4, 6, recurrent_dropout=1.5),
        "output_size is 0": lambda: nn.Jordan(4, 6, 0),
        "input_size is 4.0": lambda: nn.LSTMCell(4.0, 6),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("message", rejected())
def test_a_bad_call_is_refused_in_one_line(message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        rejected()[message]()
    assert "\n" not in str(caught.value)
    if not message.startswith("x has values"):  # torch.nn has no integers
        assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("message", refused_arguments())
def test_a_bad_argument_is_refused_in_one_line(message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        refused_arguments()[message]()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, TypeError)


def misuse(module: Any) -> list[Any]:
    """What torch.nn refuses."""
    x = torch.zeros(5, 3, 4)
    return [
        lambda: module.RNN(4, 6)(x.double()),
        lambda: module.GRU(4, 6)(torch.zeros(5)),
        lambda: module.GRU(4, 6)(torch.zeros(5, 3, 7)),
        lambda: module.GRU(4, 6)(x[:0]),
        lambda: module.LSTM(4, 6)(x, (torch.zeros(1, 2, 6), torch.zeros(1, 3, 6))),
        lambda: module.RNN(4, 6)(x, torch.zeros(3, 6)),
        lambda: module.LSTM(4, 6, proj_size=6),
        lambda: module.GRU(4, 6, bias=1),
        lambda: module.GRU(4, 6, 0),
        lambda: module.RNN(4, 6, nonlinearity="cos"),
        lambda: module.LSTMCell(4, 6)(torch.zeros(2, 5)),
        lambda: module.GRUCell(4, 6)(torch.zeros(2, 2, 4)),
        lambda: module.GRUCell(4, 6)(torch.zeros(2, 4), torch.zeros(3, 6)),
    ]


@pytest.mark.parametrize("n", range(len(misuse(nn))))
def test_what_catches_torchs_error_catches_ours(n: int) -> None:
    with pytest.raises((ValueError, RuntimeError, TypeError)) as theirs:
        misuse(torch.nn)[n]()
    with pytest.raises(type(theirs.value)):
        misuse(nn)[n]()
