"""The page of ``backtime serve`` in a real browser, where Debian's chromium is installed."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from serving import Running, classifier, running, text_model

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("page")
    with running([text_model(folder), classifier(folder)]) as own:
        yield own


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        own = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield own
        own.close()


@pytest.fixture(params=[1280, 375], ids=["desktop", "phone"])
def page(server: Running, browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    own = browser.new_page(viewport={"width": request.param, "height": 800})
    problems: list[str] = []
    own.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    own.on("pageerror", lambda error: problems.append(str(error)))
    own.on("request", lambda asked: None if server.url in asked.url else problems.append(asked.url))
    own.goto(server.url)
    yield own
    own.close()
    assert problems == []


def until(page: Any, expression: str) -> None:
    """Wait for something in the page; its policy lets it not be asked from within."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def wait_for_symbols(page: Any, count: int) -> None:
    until(page, f"document.querySelectorAll('#text span').length >= {count}")


def test_a_model_writes_and_is_watched(page: Any) -> None:
    page.get_by_label("Begin with").fill("once")
    page.get_by_label("Symbols a second").fill("60")
    page.get_by_role("button", name="Write").click()
    wait_for_symbols(page, 12)
    page.get_by_label("Unit", exact=True).fill("5")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped after").wait_for()
    before = page.locator("#text").inner_text()
    assert before.startswith("once")
    assert page.locator("#next tbody tr").count() > 1
    assert "gradient" in page.locator("#text span").last.evaluate("own => own.style.background")
    page.get_by_label("Temperature").fill("0")
    page.get_by_role("button", name="Continue").click()
    until(page, f"document.querySelector('#text').innerText.length > {len(before) + 5}")
    assert page.locator("#text").inner_text().startswith(before)
    assert page.locator("#next tbody tr").count() == 1  # at temperature 0 there is one
    page.get_by_role("button", name="Stop").click()


def test_a_classifier_answers_text_and_file(page: Any) -> None:
    page.get_by_label("Model").select_option("reviews")
    page.get_by_label("Record: texts").fill("good film")
    page.get_by_role("button", name="Predict").click()
    page.locator("#answer strong").wait_for()
    assert page.locator("#answer tr").count() == 2
    data = b"text\ngood film\nbad\n"
    page.locator("#file").set_input_files({"name": "some.csv", "mimeType": "text/csv", "buffer": data})
    until(page, "document.querySelectorAll('#answer strong').length == 2")


def test_the_keyboard_is_enough(page: Any) -> None:
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    order = ["skip", "model", "prompt", "start", "temperature", "top-p", "pace"]
    assert [name for name in names if name in order] == order
    page.locator("#start").focus()
    page.keyboard.press("Enter")
    wait_for_symbols(page, 3)
    page.locator("#stop").focus()
    page.keyboard.press("Space")
    page.get_by_text("Stopped after").wait_for()


def test_it_fits_and_everything_has_a_name(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    nameless = """[...document.querySelectorAll('input, select, textarea, button')].filter(
        own => !own.labels?.length && !own.textContent.trim() && !own.ariaLabel).length"""
    assert page.evaluate(nameless) == 0
    assert page.locator("[aria-live]").count() >= 2
