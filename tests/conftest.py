"""Fixtures that every test may use."""

import pytest

pytest.register_assert_rewrite("agreement", "cases", "numeric", "witness")

from cases import engine_or_skip  # noqa: E402 - only what is imported after the line above is rewritten


@pytest.fixture(params=["reference", "native"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each implementation in turn: a test that asks for it is written once and holds for both.

    Without a built engine the native half is skipped, or fails when BACKTIME_REQUIRE_ENGINE is set.
    """
    name: str = request.param
    if name == "native":
        engine_or_skip()
    return name
