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
    own.locator("#writing").wait_for()  # the models are known: until then there is little to use
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


NAMED = {
    "button",
    "textbox",
    "slider",
    "combobox",
    "spinbutton",
    "image",
    "table",
    "region",
    "link",
    "option",
}
READ = """() => {
  globalThis.heard = [];
  new MutationObserver(changes => {
    for (const own of new Set(changes.map(change => change.target))) {
      const at = own.nodeType === 1 ? own : own.parentElement;
      const live = at?.closest('[aria-live=polite], [role=status]');
      if (live) heard.push([live.id, live.textContent]);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
CONTRASTS = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, below, a = top[3] ?? 1) => [0, 1, 2].map(n => top[n] * a + below[n] * (1 - a));
  const ground = own => {
    const chain = [];
    for (let e = own; e; e = e.parentElement) chain.push(numbers(getComputedStyle(e).backgroundColor));
    return chain.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const found = [];
  for (const own of document.querySelectorAll('body *')) {
    const words = [...own.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    const typed = own.matches('input:not([type=range]), textarea, select');
    if (!(words || typed) || own.disabled || !own.offsetParent) continue;
    const below = ground(own), ink = over(numbers(getComputedStyle(own).color), below);
    const [a, b] = [light(ink), light(below)];
    found.push([own.id || own.className || own.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""


def tree(page: Any) -> list[tuple[str, str]]:
    """Role and name of what a screen reader meets."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in nodes
        if not node["ignored"]
    ]


def write(page: Any, symbols: int) -> None:
    page.get_by_label("Symbols a second").fill("60")
    page.get_by_role("button", name="Write").click()
    wait_for_symbols(page, symbols)


def test_everything_a_screen_reader_meets_has_a_name(page: Any) -> None:
    write(page, 8)
    page.get_by_role("button", name="Stop").click()
    met = tree(page)
    assert {"slider", "textbox", "button", "combobox", "spinbutton", "table", "image"} <= {
        own for own, _ in met
    }
    assert [own for own in met if own[0] in NAMED and not own[1]] == []
    assert any(name.startswith("Activation of 16 units") and "strongest" in name for _, name in met)
    page.evaluate("document.querySelector('#start').textContent = ''")  # a button without a name is seen
    assert ("button", "") in tree(page)
    page.get_by_label("Model").select_option("reviews")
    page.get_by_label("Record: texts").fill("good film")
    page.get_by_role("button", name="Predict").click()
    page.locator("#answer strong").wait_for()
    assert [own for own in tree(page) if own[0] in NAMED - {"button"} and not own[1]] == []


def test_the_text_is_announced_in_words(page: Any) -> None:
    page.evaluate(READ)
    write(page, 150)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped after").wait_for()
    heard = page.evaluate("heard")
    spoken = [text for name, text in heard if name == "spoken" and text]
    written = page.locator("#text").evaluate("own => own.textContent")
    assert "".join("".join(spoken).split()) == "".join(written.split())  # all of it, once
    assert 1 <= len(spoken) <= 1 + written.count(" ") and len(spoken) < len(written) / 10
    assert {name for name, _ in heard} <= {"spoken", "status"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page: Any, scheme: str) -> None:
    """4.5 to 1 and more (WCAG 2.2, 1.4.3 AA), on the bands of colour too."""
    page.emulate_media(color_scheme=scheme)
    write(page, 40)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped after").wait_for()
    found = page.evaluate(CONTRASTS)
    assert len(found) > 40 and [own for own in found if own[1] < 4.5] == []
    page.evaluate("document.querySelector('#legend').style.color = 'rgb(128, 128, 128)'")
    assert [name for name, ratio in page.evaluate(CONTRASTS) if ratio < 4.5] == ["legend"]


def test_nothing_moves_for_those_who_ask_for_it(page: Any) -> None:
    page.emulate_media(reduced_motion="reduce")
    moving = """[...document.querySelectorAll('*')].filter(own => {
        const style = getComputedStyle(own);
        return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0 }).length"""
    write(page, 5)
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0
    page.get_by_role("button", name="Stop").click()


def test_it_fits_and_everything_has_a_name(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    nameless = """[...document.querySelectorAll('input, select, textarea, button')].filter(
        own => !own.labels?.length && !own.textContent.trim() && !own.ariaLabel).length"""
    assert page.evaluate(nameless) == 0
    assert page.locator("[aria-live]").count() >= 2
