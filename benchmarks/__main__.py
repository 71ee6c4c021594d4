"""All benchmarks one after the other, each in a process of its own, into RESULTS.md."""

import subprocess
import sys

ALL = (
    "peak",
    "engine_grid",
    "streaming",
    "ragged",
    "bidirectional",
    "options",
    "growth",
    "step_memory",
    "training_jobs",
    "sampling",
    "quality",
    "memory",
)

for name in ALL:
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--write", *sys.argv[1:]], check=True)
