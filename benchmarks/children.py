"""Benchmarks that run a part of themselves in processes of their own, on a given number of cores."""

import json
import os
import subprocess
import sys
from typing import Any


def run(module: str, words: list[str], threads: int | None = None) -> Any:
    """What ``python -m benchmarks.MODULE WORDS`` prints as JSON.

    With ``threads`` the process, and every thread that any library starts in it, has so many cores and no
    more: the only limit that all sides know.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    command += ["--threads", str(threads)] if threads else []
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment(threads),
        preexec_fn=lambda: limit(threads),
    )
    return json.loads(done.stdout)


def limit(threads: int | None) -> None:
    """Leave this process the first ``threads`` of its cores."""
    if threads:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def environment(threads: int | None) -> dict[str, str]:
    """JAX has no call that sets its threads: it counts the cores, and is told where there is but one."""
    if threads != 1:
        return dict(os.environ)
    flags = os.environ.get("XLA_FLAGS", "")
    return {**os.environ, "XLA_FLAGS": f"{flags} --xla_cpu_multi_thread_eigen=false".strip()}
