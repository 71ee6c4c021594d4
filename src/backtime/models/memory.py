"""How much memory a network asks for, told before it is allocated: what no machine has is one line."""

import math
import os
from pathlib import Path

from backtime.errors import UsageError
from backtime.models.config import Config

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


def check_memory(config: Config, number_size: int = 4) -> None:
    """Raise ``UsageError`` when the weights of a network alone are more than this machine's memory."""
    count = sum(math.prod(shape) for shape in config.shapes().values())
    check_bytes(count * number_size, f"a network of {count:,} weights")


def check_bytes(asked: int, what: str) -> None:
    """Raise ``UsageError`` when ``what`` asks for more bytes than this machine has memory."""
    if asked > (most := memory()):
        raise UsageError(f"{what} needs {size(asked)} of memory; this machine has {size(most)}")


def memory() -> int:
    """Bytes of memory of this machine, or of the container that this process is in."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in map(Path, LIMITS):
        if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
            found.append(int(text))
    return min(found)


def size(count: float) -> str:
    """A number of bytes for people."""
    power = min(int(math.log(max(count, 1), 1000)), len(UNITS) - 1)
    return f"{count / 1000**power:.3g} {UNITS[power]}"
