"""The thread team among other threads and processes: fork, Python's lock, many callers, the end.

Every program runs in a process of its own, with a time limit: what is tested for is a hang or a crash. Each
runs on the engine's own threads and on PyTorch's.
"""

import os
import subprocess
import sys

import pytest

from cases import engine_or_skip

pytestmark = pytest.mark.alone

BEGIN = """
import os, sys, threading, time, warnings
import numpy as np
from backtime import kernels
from backtime.reference.weights import Weights
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of fork with threads: that is the test
kernels.set_threads(2)
random = np.random.default_rng(0)

def floats(*shape):
    return (random.standard_normal(shape) / 8).astype(np.float32)

weights = Weights(floats(256, 16), floats(256, 64), floats(256), floats(256))
x, longer = floats(10, 40, 16), floats(40_000, 8, 16)

def call(x=x):
    y, last, tape = kernels.forward("lstm", x, None, weights, backend="native")
    return [y, *last, *kernels.backward(tape, y, last).dweights]

def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))

expected = call()

def keep_calling(seconds=1e9):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert same(call(), expected)

def child_is_right(calls=3):
    child = os.fork()
    if child == 0:
        os._exit(0 if all(same(call(), expected) for _ in range(calls)) else 1)
    return os.waitpid(child, 0)[1] == 0
"""

PROGRAMS = {
    "fork while other threads are in a call": """
for _ in range(3):
    threading.Thread(target=keep_calling, daemon=True).start()
assert all(child_is_right() for _ in range(60))
""",
    "fork in a forked child": """
assert child_is_right()
child = os.fork()
if child == 0:
    os._exit(0 if same(call(), expected) and child_is_right() and same(call(), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
""",
    "a forked child that ends as programs do": """
child = os.fork()
if child == 0:
    keep_calling(0.1)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
keep_calling(0.1)
""",
    "a pool of forked processes": """
import multiprocessing
def answer(_):
    return same(call(), expected)
threading.Thread(target=keep_calling, daemon=True).start()
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(pool.map(answer, range(20)))
""",
    "eight threads while the size of the team changes": """
failed = []
def work():
    try:
        keep_calling(1.0)
    except BaseException as error:
        failed.append(error)
        raise
workers = [threading.Thread(target=work) for _ in range(8)]
for worker in workers: worker.start()
while any(worker.is_alive() for worker in workers):
    kernels.set_threads(1 + int(random.integers(5)))
for worker in workers: worker.join()
assert not failed
""",
    "the lock of Python is free during a call": """
ticks, done = 0, False
def tick():
    global ticks
    while not done:
        ticks += 1
        time.sleep(0)
kernels.set_threads(1)
sys.setswitchinterval(10)  # the lock changes hands only where it is given up
counter = threading.Thread(target=tick)
counter.start()
free = []
for n in (10, 20_000):
    time.sleep(0.05)
    before = ticks
    kernels.forward("lstm", longer[:n], None, weights, backend="native", save=False)
    free.append(ticks - before)
done = True
counter.join()
assert free[1] > 50, free  # with the lock held: 0; a busy machine leaves the counter some hundreds
""",
    "exit while another thread is in a long call": """
threading.Thread(target=lambda: call(longer), daemon=True).start()
time.sleep(0.2)
""",
    "exit while other threads are in short calls": """
for _ in range(3):
    threading.Thread(target=keep_calling, daemon=True).start()
time.sleep(0.2)
""",
    "exit while a thread is in a call and the garbage is large": """
threading.Thread(target=keep_calling, daemon=True).start()
garbage = [[] for _ in range(2_000_000)]
""",
    "sys.exit in a thread": """
def leave():
    call()
    sys.exit(3)
leaver = threading.Thread(target=leave)
leaver.start()
leaver.join()
assert same(call(), expected)
""",
    "a call at the end of the process": """
import atexit
atexit.register(lambda: keep_calling(0.1))
threading.Thread(target=keep_calling, daemon=True).start()
""",
    "more threads than a system gives": """
kernels.set_threads(100_000)
wide = floats(3000, 64), floats(200_000, 64), floats(200_000)
kernels.softmax_cross_entropy(*wide, np.zeros(3000, int), gradient=False)
assert threading.active_count() == 1 and len(os.listdir("/proc/self/task")) < 1000
assert same(call(), expected)
""",
}


TEAMS = ("own", "pytorch")
ON_PYTORCH = "import torch; torch.set_num_threads(2)\n"


def run(program: str, team: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """The program after BEGIN, on the engine's own threads or on PyTorch's, never alone for a while."""
    path = os.pathsep.join(p for p in sys.path if p)
    forced = {"own": "own", "pytorch": "openmp"}[team]
    return subprocess.run(
        [sys.executable, "-c", (ON_PYTORCH if team == "pytorch" else "") + BEGIN + program],
        env={**os.environ, "PYTHONPATH": path, "BACKTIME_THREADS": forced},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


@pytest.fixture(params=TEAMS)
def team(request: pytest.FixtureRequest) -> str:
    engine_or_skip()
    if request.param == "pytorch":
        pytest.importorskip("torch")
    return str(request.param)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_team_stands(name: str, team: str) -> None:
    done = run(PROGRAMS[name], team)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stderr}"
    assert "assert" not in done.stderr.lower()  # of a thread, which does not end the program


def test_a_wrong_answer_in_a_child_is_seen(team: str) -> None:
    assert run("expected[0][0, 0, 0] += 1; assert child_is_right()", team).returncode == 1


LOADER = """
import torch
from backtime import nn
torch.manual_seed(0)
layer = nn.LSTM(16, 64, batch_first=True)
batch = torch.randn(40, 10, 16)
with torch.no_grad():
    wanted = layer(batch)[0]
class Answers(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, n):
        with torch.no_grad():
            return layer(batch)[0]
torch.ones(500, 500) @ torch.ones(500, 500)
for _ in range({times}):
    for found in torch.utils.data.DataLoader(Answers(), None, num_workers={workers}):
        assert torch.equal(found, wanted)
        keep_calling(0.02)
"""


def test_torch_workers_use_a_layer(team: str) -> None:
    """DataLoader workers are forked children; the parent has a team, and torch's own threads."""
    pytest.importorskip("torch")
    done = run(LOADER.format(times=1, workers=2), team)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_four_torch_workers_use_a_layer_again_and_again(team: str) -> None:
    pytest.importorskip("torch")
    done = run(LOADER.format(times=10, workers=4), team, seconds=300)
    assert done.returncode == 0, done.stderr
