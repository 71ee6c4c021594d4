"""``FullyShardedDataParallel`` over two processes: weights come and go around a call."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from backtime import nn

pytestmark = pytest.mark.slow
T, B, I, H = 5, 4, 3, 6
ROUNDS = 3

WORKER = """
import os, sys, warnings
import torch
from torch.distributed.fsdp import FullyShardedDataParallel
from test_nn_sharded import model_of, batches, ROUNDS

kind, both, original, rank, folder = sys.argv[1:]
both, original, rank = both == "True", original == "True", int(rank)
warnings.simplefilter("ignore")
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/peers", rank=rank, world_size=2)
model, cpu = model_of(kind, both), torch.device("cpu")
wrapped = FullyShardedDataParallel(model, use_orig_params=original, device_id=cpu)
optimiser = torch.optim.SGD(wrapped.parameters(), 0.1)
for x in batches():
    optimiser.zero_grad()
    wrapped(x.chunk(2, 1)[rank])[0].square().mean().backward()
    optimiser.step()
with FullyShardedDataParallel.summon_full_params(wrapped):
    if rank == 0:
        weights = {name: p.detach().clone() for name, p in wrapped.module.named_parameters()}
        torch.save(weights, f"{folder}/weights")
torch.distributed.barrier()
os._exit(0)  # gloo's threads may outlive the interpreter, and then end the process by std::terminate
"""


def model_of(kind: str, both: bool) -> Any:
    torch.manual_seed(0)
    return getattr(nn, kind)(I, H, 2, bidirectional=both, dtype=torch.float64)


def batches() -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return [torch.randn(T, B, I, dtype=torch.float64, generator=g) for _ in range(ROUNDS)]


def alone(kind: str, both: bool) -> dict[str, torch.Tensor]:
    """One process with the whole batch."""
    model = model_of(kind, both)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for x in batches():
        optimiser.zero_grad()
        model(x)[0].square().mean().backward()
        optimiser.step()
    return dict(model.named_parameters())


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("original", [False, True])
def test_two_processes_train_as_one(kind: str, both: bool, original: bool, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WORKER, kind, str(both), str(original)]
    runs = [
        subprocess.Popen([*words, str(rank), str(tmp_path)], cwd=Path(__file__).parent, stderr=-1, text=True)
        for rank in (0, 1)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=100)
        assert run.returncode == 0, errors
    found = torch.load(tmp_path / "weights")
    for name, p in alone(kind, both).items():
        torch.testing.assert_close(found[name], p.detach(), rtol=1e-10, atol=1e-12)
