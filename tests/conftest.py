"""Fixtures that every test may use."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backtime import kernels

pytest.register_assert_rewrite("agreement", "cases", "numeric", "recorders", "shell", "witness")

from cases import engine_or_skip  # noqa: E402 - only what is imported after the line above is rewritten


def pytest_configure() -> None:
    """Ctrl-C is not ignored, as it is in the background of a script: what tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(params=["reference", "native"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each implementation in turn: a test that asks for it is written once and holds for both.

    Without a built engine the native half is skipped, or fails when BACKTIME_REQUIRE_ENGINE is set.
    """
    name: str = request.param
    if name == "native":
        engine_or_skip()
    return name


@pytest.fixture
def engine() -> Iterator[None]:
    """For tests of the engine alone, which may change its number of threads."""
    engine_or_skip()
    before = kernels.engine_info()["threads"]
    yield
    kernels.set_threads(before)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own to work in, without waiting for the disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def quick_runs(own_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in a folder of their own, without curves."""
    from backtime.tasks import runs

    monkeypatch.setattr(runs, "draw_curves", lambda *parts: None)
