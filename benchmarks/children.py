"""Benchmarks that run a part of themselves in processes of their own, on a given number of cores."""

import json
import os
import subprocess
import sys
from typing import Any

# What leaves the peers an instruction set and nothing above it. ONNX Runtime asks the processor alone.
HIDDEN = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    }
}


def run(module: str, words: list[str], threads: int | None = None, isa: str | None = None) -> Any:
    """What ``python -m benchmarks.MODULE WORDS`` prints as JSON.

    With ``threads`` the process, and every thread that any library starts in it, has so many cores and no
    more: the only limit that all sides know. With ``isa`` the engine, and the peers that can be told, use no
    instruction set above it.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    command += ["--threads", str(threads)] if threads else []
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment(threads, isa),
        preexec_fn=lambda: limit(threads),
    )
    return json.loads(done.stdout)


def limit(threads: int | None) -> None:
    """Leave this process the first ``threads`` of its cores."""
    if threads:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def environment(threads: int | None, isa: str | None = None) -> dict[str, str]:
    """The variables of such a process."""
    changed = dict(HIDDEN.get(isa or "", {}))
    flags = [os.environ.get("XLA_FLAGS", ""), changed.get("XLA_FLAGS", "")]
    if (
        threads == 1
    ):  # JAX has no call that sets its threads: it counts the cores, and is told where there is but one
        flags.append("--xla_cpu_multi_thread_eigen=false")
    if any(flags):
        changed["XLA_FLAGS"] = " ".join(filter(None, flags))
    if isa:
        changed["BACKTIME_ISA"] = isa
    return {**os.environ, **changed}
