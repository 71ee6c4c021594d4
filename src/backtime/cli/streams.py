"""Standard input, output and error: closed, full, or with nobody at the other end."""

import contextlib
import errno
import os
import sys

from backtime.errors import UsageError, one_line


def open_all() -> None:
    """Give the numbers 0, 1 and 2 to something, where a shell closed them (``>&-``).

    Else the next file that is opened gets such a number, and what is meant for people ends up in it. Without
    a standard error nothing is told; a verb that has something to print asks for ``output``.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the process ends


def need_output() -> None:
    """Raise ``UsageError`` where standard output is closed, of a verb that is there to print."""
    if sys.stdout is None or sys.stdout.closed:
        raise UsageError("standard output is closed; expected somewhere to write to")


def flush() -> None:
    """What is still to be written goes out now: an error is told while somebody can tell it."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def is_of_output(error: OSError) -> bool:
    """Whether an error of the system is about writing to a standard stream: those about files name them."""
    return error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)


def drop_output() -> None:
    """Send what standard output still holds nowhere, so that Python does not try again at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(line: str) -> None:
    """One line on standard error, if it can be written there."""
    with contextlib.suppress(OSError, ValueError):
        print(f"backtime: {one_line(line)}", file=sys.stderr, flush=True)
