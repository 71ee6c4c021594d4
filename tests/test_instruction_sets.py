"""The engine's tests once more on every lower instruction set that this machine has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backtime import kernels
from cases import engine_or_skip

HERE = Path(__file__).parent
# those that ask the engine for numbers; threads, fork and bad input do not depend on the instruction set
FILES = (
    "engine",
    "engine_options",
    "functions",
    "soundness",
    "accuracy",
    "losses",
    "stack",
    "paired",
    "rnn",
    "gru",
    "lstm",
)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["avx2", "baseline"])
def test_lower_instruction_sets_pass_the_tests_of_the_engine(isa: str) -> None:
    engine_or_skip()
    if kernels.engine_info()["isa"] in (isa, "neon") or os.environ.get("BACKTIME_ISA"):
        pytest.skip(f"{isa} is what the other tests run on, or this machine has none")
    files = [str(HERE / f"test_{name}.py") for name in FILES]
    environment = {**os.environ, "BACKTIME_ISA": isa, "BACKTIME_REQUIRE_ENGINE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        command, env=environment, cwd=HERE.parent, capture_output=True, text=True, timeout=600
    )
    if "expected one that this machine has" in done.stdout + done.stderr:
        pytest.skip(f"this machine has no {isa}")
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
