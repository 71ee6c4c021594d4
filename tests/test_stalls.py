"""The rules for busy machines, with planted stalls: a member sleeps where it would lose its processor.

Programs of their own, built from the team's sources alone: the stall is exact and nothing else has it.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[1]


def facts(name: str, folder: Path) -> dict[str, float]:
    """What the program printed."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    sources = [ROOT / f"tests/programs/{name}.cpp", *sorted((ROOT / "csrc/threads").glob("*.cpp"))]
    words = [compiler, "-std=c++20", "-O1", "-pthread", f"-I{ROOT / 'csrc'}", *map(str, sources), "-ldl"]
    subprocess.run([*words, "-o", str(folder / name)], check=True)
    environment = {**os.environ, "BACKTIME_THREADS": "auto"}
    ran = subprocess.run(
        [folder / name], check=True, capture_output=True, text=True, timeout=60, env=environment
    )
    return {fact: float(value) for fact, value in map(str.split, ran.stdout.splitlines())}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor: no team")
    for _ in range(6):
        found = facts("stalls", tmp_path_factory.mktemp("stalls"))
        if "busy" not in found:
            return found
    pytest.skip("other programs want the processors: no stall can be told from theirs")


def test_a_stall_at_a_barrier_makes_plans_avoid_barriers(found: dict[str, float]) -> None:
    assert found["steady_after_stall"] == 0
    assert found["regions_until_steady"] >= 8  # pairs of regions: sixteen without a fault make up for it


def test_after_a_stall_the_caller_tries_to_work_alone(found: dict[str, float]) -> None:
    """Pauses have lower bounds alone: a machine that is busy for real makes them longer, never shorter."""
    assert found["members_after_stall"] == 1
    assert found["trial_ms"] >= 15  # of 20, less what was spent before it was asked
    assert found["members_when_quiet"] == 2  # the team was faster


def test_a_team_that_is_no_faster_is_left_for_longer_each_time(found: dict[str, float]) -> None:
    assert (
        1 <= found["late_until_alone"] <= 64
    )  # a region takes 20 ms where it took 1: the mean soon is over 2
    assert found["second_pause_ms"] >= 15  # of 20
    assert 1 <= found["late_until_alone_again"] <= 8  # three regions are enough to judge by
    assert found["third_pause_ms"] >= 35  # of 40


def test_of_pytorchs_threads_two_late_in_short_order_make_the_caller_work_alone(tmp_path: Path) -> None:
    """Told, not planted: PyTorch's operations need these threads, so that no trial is made."""
    chosen = facts("arrivals", tmp_path)
    assert (chosen["steady_at_first"], chosen["steady_after_stall"], chosen["prompt_after_stalls"]) == (
        1,
        0,
        1,
    )
    assert chosen["regions_until_steady"] == 16
    assert (chosen["prompt_after_late"], chosen["prompt_after_two_late"]) == (1, 0)
    assert chosen["first_pause_ms"] >= 15
    assert chosen["second_pause_ms"] >= 35
    assert 15 <= chosen["pause_after_quiet_ms"] < chosen["second_pause_ms"]


def test_of_long_regions_one_is_trial_enough(tmp_path: Path) -> None:
    chosen = facts("arrivals", tmp_path)
    assert (chosen["prompt_in_trial"], chosen["prompt_after_long_trial"]) == (0, 1)
    assert chosen["long_trial_ms"] >= 150  # of 220, less what was spent before
