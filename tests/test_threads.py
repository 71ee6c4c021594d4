"""How many threads a call takes and whose: PyTorch's number, PyTorch's threads. Seen by processor time.

Every program runs in a process of its own, for these things are read once.
"""

import ctypes.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backtime import _engine
from cases import engine_or_skip

pytestmark = pytest.mark.alone

BEGIN = """
import sys, threading, time
import numpy as np
from backtime import kernels
from backtime.reference.weights import Weights
random = np.random.default_rng(0)

def floats(*shape):
    return (random.standard_normal(shape) / 8).astype(np.float32)

weights = Weights(floats(512, 64), floats(512, 128), floats(512), floats(512))
x = floats(50, 64, 64)

def call():
    return kernels.forward("lstm", x, None, weights, backend="native", save=False)[0]

def helped(seconds=0.3):
    'The share of the work that other threads than this one did.'
    begin, whole, own = time.monotonic(), time.process_time(), time.thread_time()
    while time.monotonic() - begin < seconds:
        call()
    return 1 - (time.thread_time() - own) / (time.process_time() - whole)

def alone():
    share = helped()
    assert share < 0.05, share

def together():  # on a busy machine the others may have no processor for a while
    shares = []
    while not shares or shares[-1] < 0.05:
        shares.append(helped())
        assert len(shares) < 30, shares
"""

# name: environment, processors (None for all), program
PROGRAMS = {
    "without torch: all processors": ({}, None, "together()"),
    "OMP_NUM_THREADS": ({"OMP_NUM_THREADS": "1"}, None, "alone()"),
    "OMP_NUM_THREADS, with torch": ({"OMP_NUM_THREADS": "1"}, None, "import torch; alone()"),
    "OMP_NUM_THREADS is a list": ({"OMP_NUM_THREADS": "1,2"}, None, "alone()"),
    "one processor granted": ({}, 1, "assert kernels.engine_info()['threads'] == 1; alone()"),
    "one processor granted, with torch": ({}, 1, "import torch; torch.set_num_threads(2); alone()"),
    "BACKTIME_NUM_THREADS goes first": (
        {"BACKTIME_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"},
        None,
        "import torch; torch.set_num_threads(2); alone()",
    ),
    "torch.set_num_threads": (
        {},
        None,
        "import torch; together(); torch.set_num_threads(1); alone(); torch.set_num_threads(2); together()",
    ),
    "torch.set_num_threads, in another thread": (
        {},
        None,
        """
import torch
torch.set_num_threads(1)
failed = []
def work():
    try:
        alone()
    except BaseException as error:
        failed.append(error)
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert not failed, failed
""",
    ),
    "kernels.set_threads goes first": (
        {},
        None,
        """
import torch
kernels.set_threads(1)
alone()
kernels.set_threads(None)
together()
""",
    ),
    "torch loaded after the engine was used": (
        {},
        None,
        """
before = call()
assert kernels.engine_info()["team"] == "own"
import torch
assert kernels.engine_info()["team"] == "pytorch"
together()
assert np.array_equal(call(), before)
""",
    ),
    "a forked child": (
        {},
        None,
        """
import os, torch, warnings
warnings.simplefilter("ignore")
expected = call()
child = os.fork()
if child == 0:
    right = kernels.engine_info()["team"] == "own" and np.array_equal(call(), expected)
    os._exit(0 if right else 1)
assert os.waitpid(child, 0)[1] == 0
assert kernels.engine_info()["team"] == "pytorch"
""",
    ),
    "fewer threads granted than asked for": (
        {"OMP_THREAD_LIMIT": "1", "BACKTIME_THREADS": "openmp"},
        None,
        "import torch; expected = call(); alone(); assert np.array_equal(call(), expected)",
    ),
    "more threads than torch has": (
        {},
        None,
        """
import torch
torch.set_num_threads(1)
expected = call()
kernels.set_threads(5)
assert np.array_equal(call(), expected)
assert kernels.engine_info()["threads"] == 5
""",
    ),
    "a call from inside a parallel region": (
        {"BACKTIME_THREADS": "openmp"},
        None,
        """
import ctypes, torch
expected = call()
found = []
inside = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: found.append(np.array_equal(call(), expected)))
ctypes.CDLL(None).GOMP_parallel(inside, None, 2, 0)
assert found and all(found), found
""",
    ),
    "torch and the engine by turns": (
        {"BACKTIME_THREADS": "openmp"},
        None,
        """
import torch
square, expected = torch.ones(300, 300), call()
for _ in range(300):
    square @ square
    assert np.array_equal(call(), expected)
""",
    ),
    "two threads of Python at once": (
        {"BACKTIME_THREADS": "openmp"},
        None,
        """
import torch
expected, failed = call(), []
def work():
    for _ in range(100):
        if not np.array_equal(call(), expected): failed.append(1)
        torch.ones(300, 300) @ torch.ones(300, 300)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed
""",
    ),
}


def run(program: str, processors: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(p for p in sys.path if p)
    kept = {name: value for name, value in os.environ.items() if not name.endswith("NUM_THREADS")}
    allowed = set(sorted(os.sched_getaffinity(0))[:processors])
    return subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        env={**kept, "PYTHONPATH": path, **environment},
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads(name: str) -> None:
    engine_or_skip()
    environment, processors, program = PROGRAMS[name]
    if "torch" in program:
        pytest.importorskip("torch")
    if "together" in program and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor")
    done = run(program, processors, **environment)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stderr}"


def test_more_threads_than_wanted_are_seen() -> None:
    engine_or_skip()
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor")
    assert "AssertionError" in run("kernels.set_threads(2)\nfor _ in range(30): alone()").stderr


@pytest.mark.parametrize("library", ["omp", "iomp5"])
def test_another_openmp_than_torchs_own(library: str) -> None:
    """libomp and libiomp5 have libgomp's functions: loaded first, torch and the engine run on them."""
    engine_or_skip()
    pytest.importorskip("torch")
    name = ctypes.util.find_library(library)
    if name is None:
        pytest.skip(f"lib{library} is not installed")
    turns = PROGRAMS["torch and the engine by turns"][2]
    done = run(turns + "together()", BACKTIME_THREADS="openmp", LD_PRELOAD=name)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("BACKTIME_NUM_THREADS", "abc", "a number from 1"),
        ("BACKTIME_NUM_THREADS", "0", "a number from 1"),
        ("BACKTIME_NUM_THREADS", "-1", "a number from 1"),
        ("BACKTIME_NUM_THREADS", "2.5", "a number from 1"),
        ("BACKTIME_NUM_THREADS", "99999999999999999999", "a number from 1"),
        ("BACKTIME_THREADS", "mine", "auto, own or openmp"),
    ],
)
def test_a_wrong_variable_is_one_line(variable: str, value: str, expected: str) -> None:
    engine_or_skip()
    last = run("", **{variable: value}).stderr.splitlines()[-1]
    assert last == f"backtime.errors.UsageError: {variable} is '{value}'; expected {expected}"


def group(root: Path, name: str, **files: str) -> None:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file.replace("_", ".", 1)).write_text(text)


def quota(root: Path, line: str) -> int:
    (root / "groups").write_text(f"12:pids:/x\n{line}\n")
    return _engine.quota(str(root / "groups"), str(root))


def test_quota_of_version_2(tmp_path: Path) -> None:
    engine_or_skip()
    group(tmp_path, "pod/box", cpu_max="150000 100000\n")
    assert quota(tmp_path, "0::/pod/box") == 2  # rounded up
    group(tmp_path, "pod", cpu_max="50000 100000\n")
    assert quota(tmp_path, "0::/pod/box") == 1  # the group around it has less
    group(tmp_path, "free/box", cpu_max="max 100000\n")
    assert quota(tmp_path, "0::/free/box") == 0
    assert quota(tmp_path, "0::/not/there") == 0


def test_quota_of_version_1(tmp_path: Path) -> None:
    engine_or_skip()
    group(tmp_path, "cpu/box", cpu_cfs_quota_us="400000\n", cpu_cfs_period_us="100000\n")
    assert quota(tmp_path, "4:cpu,cpuacct:/box") == 4
    assert quota(tmp_path, "4:cpuset:/box") == 0
    group(tmp_path, "cpu/box", cpu_cfs_quota_us="-1\n")
    assert quota(tmp_path, "4:cpu,cpuacct:/box") == 0


def test_quota_of_no_file(tmp_path: Path) -> None:
    engine_or_skip()
    assert _engine.quota(str(tmp_path / "none"), str(tmp_path)) == 0
