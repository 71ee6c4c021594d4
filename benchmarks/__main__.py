"""All benchmarks one after the other, each in a process of its own, into RESULTS.md."""

import subprocess
import sys

ALL = (
    "own_loop",
    "ceiling",
    "two_processes",
    "peak",
    "engine_grid",
    "streaming",
    "overhead",
    "ragged",
    "bidirectional",
    "options",
    "alternating",
    "growth",
    "step_memory",
    "training_jobs",
    "tasks",
    "sampling",
    "quality",
    "memory",
)


def main() -> None:
    failed = []
    for name in ALL:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--write", *sys.argv[1:]]
        if subprocess.run(command).returncode:
            failed.append(name)  # the others are still worth their time
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
