"""The rule for busy machines, with planted stalls: a member sleeps where it would lose its processor.

A program of its own, built from the team's sources alone, so that the stall is exact and nothing else has it.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "tests/programs/stalls.cpp", *sorted((ROOT / "csrc/threads").glob("*.cpp"))]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor: no team")
    program = tmp_path_factory.mktemp("stalls") / "stalls"
    words = [compiler, "-std=c++20", "-O1", "-pthread", f"-I{ROOT / 'csrc'}", *map(str, SOURCES), "-ldl"]
    subprocess.run([*words, "-o", str(program)], check=True)
    environment = {**os.environ, "BACKTIME_THREADS": "auto"}
    ran = subprocess.run([program], check=True, capture_output=True, text=True, timeout=60, env=environment)
    facts = {name: float(value) for name, value in map(str.split, ran.stdout.splitlines())}
    if "busy" in facts:
        pytest.skip("other programs want the processors: no stall can be told from theirs")
    return facts


def test_a_stall_at_a_barrier_makes_plans_avoid_barriers(found: dict[str, float]) -> None:
    assert found["steady_after_stall"] == 0
    assert found["regions_until_steady"] >= 8  # pairs of regions: sixteen without a fault make up for it


def test_two_stalls_in_short_order_make_the_caller_work_alone(found: dict[str, float]) -> None:
    """Pauses have lower bounds alone: a machine that is busy for real makes them longer, never shorter."""
    assert found["steady_after_one_late"] == 0
    assert found["members_after_two_late"] == 1
    assert found["first_pause_ms"] >= 15  # of 20, less what was spent before it was asked
    assert found["second_pause_ms"] >= 35  # of 40
