"""Torch's own parallel operations in a forked process, where they wait for threads that are not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def serial_in_a_child() -> Iterator[None]:
    """In a forked process one thread does it all; the results are the same."""
    if not _forked:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
