"""A forked child after calls in the parent: PyTorch's threads stay behind; a layer needs none."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
import torch
from torch.nn.utils.rnn import pack_padded_sequence
from backtime import nn

torch.set_num_threads(2)  # so that PyTorch has threads to leave behind
large = torch.randn(64, 200, 40)  # 512,000 elements: PyTorch shares out what is larger than 32,768
large.mul(2).sum()
form = sys.argv[1]
layer = nn.{kind}(40, 32, 2, batch_first=form != "packed", dropout=0.5, zoneout=0.1, weight_dropout=0.1,
                  bidirectional=True, merge="sum", recurrent_dropout=0.1)
head = nn.SoftmaxCrossEntropy(32, 300)
lengths = list(range(137, 201))
packed = pack_padded_sequence(large, torch.tensor(lengths), True, enforce_sorted=False)
reset = torch.zeros(64, 200, dtype=torch.bool)


def step():
    if form == "packed":
        y = layer(packed)[0].data
    else:
        given = {{"lengths": dict(lengths=lengths), "reset": dict(reset=reset)}}.get(form, {{}})
        x = torch.zeros(64, 200, dtype=torch.int64) if form == "integers" else large
        y = layer(x, **given)[0]
    torch.manual_seed(1)
    loss = head(y, torch.zeros(y.shape[:-1], dtype=torch.int64))
    return loss, y


torch.manual_seed(0)
loss, y = step()
expected = [y.detach().numpy().copy()]
loss.backward()
child = os.fork()
if not child:
    signal.alarm(20)
    torch.manual_seed(0)
    loss, y = step()
    loss.backward()
    os._exit(0 if (y.detach().numpy() == expected[0]).all() else 3)
_, status = os.waitpid(child, 0)
print(status)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("form", ["batch_first", "lengths", "packed", "reset", "integers"])
def test_a_forked_child_runs_a_layer(kind: str, form: str) -> None:
    words = [sys.executable, "-c", PROGRAM.format(kind=kind), form]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert run.stdout == "0\n", run.stderr
