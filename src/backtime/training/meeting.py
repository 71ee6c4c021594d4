"""Processes meet under a name that no earlier meeting had.

torchrun keeps one key-value store for a job and all its restarts, and PyTorch's process groups leave their
addresses there. Processes that were started again may read the address of one that is dead, and then wait
for it until their patience ends. So each meeting has a prefix of its own in the store.
"""

from __future__ import annotations

import secrets
import time
from datetime import timedelta

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

LOOK = 0.05  # seconds between two looks at what another has written
CALL = "backtime/call"


def fresh(store: Store, number: int, of: int, patience: timedelta) -> Store:
    """The store as this meeting sees it: ``number`` of ``of`` processes calls this once.

    Process 0 calls with a new word, each other answers the last call that it sees with a new word of its own,
    and process 0 repeats that. Words of an earlier meeting are never repeated, so who has heard its own word
    knows that the call is of this one. Raises ``TimeoutError`` where the others do not come.
    """
    own = secrets.token_hex(8)
    end = time.monotonic() + patience.total_seconds()
    if number:
        return PrefixStore(_answer(store, number, own, end), store)
    store.set(CALL, own)
    for other in range(1, of):
        heard = _awaited(store, f"backtime/{own}/{other}", end)
        store.set(f"backtime/{own}/{other}/heard", heard)
    return PrefixStore(f"backtime/{own}", store)


def _answer(store: Store, number: int, own: str, end: float) -> str:
    """The prefix of the first call that is answered."""
    while True:
        key = f"backtime/{_awaited(store, CALL, end)}/{number}"
        store.set(key, own)
        if store.check([f"{key}/heard"]) and store.get(f"{key}/heard").decode() == own:
            return key.rpartition("/")[0]
        _pause(end)


def _awaited(store: Store, key: str, end: float) -> str:
    while not store.check([key]):
        _pause(end)
    found: str = store.get(key).decode()
    return found


def _pause(end: float) -> None:
    if time.monotonic() > end:
        raise TimeoutError("the other processes did not come")
    time.sleep(LOOK)
