"""The C library keeps what a step of a training loop frees for the next one."""

import os
import platform
import subprocess
import sys
from typing import Any

import pytest

from cases import engine_or_skip

engine_or_skip()
pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the C library's heap is another one"
)
MAPPED = """
import ctypes
{imported}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
Info = type("Info", (ctypes.Structure,), {{"_fields_": [(name, ctypes.c_size_t) for name in names]}})
libc.mallinfo2.restype = Info
before = libc.mallinfo2().hblks
libc.malloc(30 << 20)
print(libc.mallinfo2().hblks - before)
"""


def number(program: str, imported: str, **environment: Any) -> int:
    """What a process of its own prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", program.format(imported=imported)],
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_blocks_of_a_step_come_from_the_heap() -> None:
    assert number(MAPPED, "") == 1  # a block as large is mapped by itself, and unmapped when it is freed
    assert number(MAPPED, "import backtime.nn") == 0


def test_limits_of_the_user_stay() -> None:
    assert number(MAPPED, "import backtime.nn", MALLOC_TRIM_THRESHOLD_="50000") == 1
