"""The report as a reader has it: in a real Chromium, by mouse and keyboard, on a phone, in the dark, and with JavaScript off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_scores import made_images, made_scores

from clipcap_cli.evaluation.report import write_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="there is no chromium with chromedriver on this machine")]

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PICTURES = 70
NASTY = "<script>document.title = 'broken into'</script><img src=x onerror=\"document.title = 'broken into'\">"
WIDE, PHONES, PAPER, HEIGHT = 1280, (320, 390), 700, 900

# Texts whose contrast with what is behind them is less than WCAG's AA asks for: 4.5, or 3 where letters are large.
_FAINT_TEXTS = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => numbers(colour).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const colour = getComputedStyle(element).backgroundColor;
    if ((numbers(colour)[3] ?? 1) > 0) return colour;
  }
};
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("script, title, option")) continue;
  const style = getComputedStyle(element);
  const pair = [light(element.closest("svg") ? style.fill : style.color), light(behind(element))].sort((a, b) => b - a);
  const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (contrast < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) faint.push([walker.currentNode.textContent, contrast]);
}
return faint;
"""


class Reader:
    """Who reads a page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def opens(self, page: Path, *, width: int = WIDE, dark: bool = False, script: bool = True) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tells("Emulation.setDeviceMetricsOverride", width=width, height=HEIGHT, deviceScaleFactor=1, mobile=width < WIDE)
        self.tells("Emulation.setEmulatedMedia", features=[scheme])
        self.tells("Emulation.setScriptExecutionDisabled", value=not script)
        self.driver.get(page.as_uri())

    def tells(self, command: str, **values: Any) -> None:
        self.driver.execute_cdp_cmd(command, values)

    def finds(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def sees(self, selector: str) -> list[str]:
        """The texts of what is shown."""
        return [element.text for element in self.driver.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()]

    def asks(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def presses(self, *keys: str) -> None:
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    @property
    def names(self) -> list[str]:
        """Of the pictures that are shown, in their order."""
        return list(self.asks("return [...document.querySelectorAll('#list .name')].map((name) => name.textContent)"))

    @property
    def here(self) -> str:
        """The name of the picture that has the focus."""
        return str(self.asks("return document.activeElement.querySelector('.name')?.textContent ?? ''"))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield started
    started.quit()


@pytest.fixture
def reader(driver: Any) -> Reader:
    for log in ("browser", "performance"):
        driver.get_log(log)
    return Reader(driver)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy pictures, from the best to the worst by CIDEr-D; one of them nasty, three with the same caption, one without a file."""
    folder = tmp_path_factory.mktemp("report")
    images = made_images(folder, PICTURES)
    images[5] = replace(images[5], path=None, name="gone.png")
    captions = [image.captions[0] for image in images]
    captions = [f"{caption}, number {number}" for number, caption in enumerate(captions)]
    captions[0], captions[1:4] = NASTY, ["a plain thing"] * 3
    older = made_scores(images, ["an older caption"] * PICTURES, name="older")
    falls = older.system.metrics[1].per_image.copy()
    falls[60] += 9
    metric = replace(older.system.metrics[1], per_image=falls)
    older = replace(older, system=replace(older.system, metrics=(older.system.metrics[0], metric)))
    return write_report(folder / "report.html", made_scores(images, captions, warnings=["70 pictures are few"]), others=[older])


def _requests(driver: Any, page: str) -> list[str]:
    """What the page asked for, itself among it; what the browser's own first tab asks for is not its doing."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [request["request"]["url"] for request in asked if request["documentURL"] == page]


def test_nothing_is_asked_for_and_nothing_goes_wrong(reader: Reader, page: Path) -> None:
    reader.opens(page)
    assert reader.names[:2] == ["picture-0000.png", "picture-0001.png"]
    assert [entry["message"] for entry in reader.driver.get_log("browser")] == []
    assert [url for url in _requests(reader.driver, page.as_uri()) if not url.startswith("data:")] == [page.as_uri()]


def test_captions_are_never_run(reader: Reader, page: Path) -> None:
    reader.opens(page)
    assert reader.sees("#list .card .caption")[0] == NASTY
    assert reader.asks("return document.querySelectorAll('#list script, #list img[src=x]').length") == 0
    assert reader.driver.title == "food on shapes v1, split test"


def test_pictures_come_in_pages(reader: Reader, page: Path) -> None:
    reader.opens(page)
    assert reader.sees("#number") == ["70 of 70 pictures."]
    assert len(reader.names) == 60
    reader.finds("#more").click()
    assert len(reader.names) == PICTURES
    assert reader.here == "picture-0060.png"
    assert reader.sees("#more") == []


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("best", "picture-0000.png"),
        ("worst", "picture-0069.png"),
        ("median", "picture-0034.png"),
        ("changed", "picture-0060.png"),
        ("name", "picture-0000.png"),
    ],
)
def test_pictures_are_put_in_order(reader: Reader, page: Path, order: str, first: str) -> None:
    reader.opens(page)
    reader.finds(f"input[value={order}] + span").click()
    assert reader.names[0] == first


def test_pictures_are_put_in_order_by_another_metric(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.finds("select[name=metric]").send_keys("BLEU-4")
    shown = [float(text.removeprefix("BLEU-4 ").partition(",")[0]) for text in reader.sees("#list .main-score")]
    assert len(shown) == 60
    assert shown == sorted(shown, reverse=True)


def test_pictures_are_found_by_words_scores_and_repetition(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.finds("input[name=search]").send_keys("NUMBER 42")
    assert reader.names == ["picture-0042.png"]
    reader.finds("button[type=reset]").click()
    reader.finds("input[name=repeated]").click()
    assert reader.sees("#number") == ["3 of 70 pictures."]
    assert "said of 3 pictures" in reader.sees("#list .main-score")[0]
    reader.finds("button[type=reset]").click()
    reader.finds("input[name=low]").send_keys("2.95")
    assert reader.names == ["picture-0000.png", "picture-0001.png"]
    reader.finds("input[name=high]").send_keys("2.96")
    assert reader.names == ["picture-0001.png"]


def test_words_that_no_reference_has_are_marked(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.finds("input[name=search]").send_keys("plain thing")
    assert reader.sees("#list .card:first-child .caption .new") == ["plain", "thing"]


def test_a_change_shows_both_captions_and_the_difference(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.finds("input[value=changed] + span").click()
    told = reader.sees("#list .card:first-child .told")[0]
    assert "older says" in told
    assert "here −9.000" in told
    assert "an older caption" in told


def test_everything_can_be_done_with_the_keyboard(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.presses("j")
    assert reader.here == "picture-0000.png"
    reader.presses("j", "j", "k")
    assert reader.here == "picture-0001.png"
    reader.presses(Keys.ARROW_DOWN)
    assert reader.here == "picture-0002.png"
    assert reader.asks("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reader.presses("/", "number 42", "j?")
    assert reader.asks("return document.activeElement.value") == "number 42j?"
    reader.presses(Keys.BACKSPACE, Keys.BACKSPACE, Keys.ESCAPE, "j")
    assert reader.here == "picture-0042.png"
    reader.presses("?")
    assert reader.sees("#help h2") == ["Keys"]
    reader.presses(Keys.ESCAPE)
    assert reader.sees("#help h2") == []


def test_the_next_page_comes_with_the_keyboard(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.asks("document.querySelector('#list').lastElementChild.focus()")
    reader.presses("j")
    assert reader.here == "picture-0060.png"


def test_charts_tell_their_values(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.asks("document.querySelector('.chart').focus()")
    reader.presses(Keys.ARROW_RIGHT)
    assert reader.sees(".chart .readout")[0].startswith("food: CIDEr-D 1.500, 95 % interval 1.")
    reader.presses(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert reader.sees(".chart .readout")[0].startswith("human: CIDEr-D")


@pytest.mark.parametrize("width", PHONES)
def test_a_phone_scrolls_downwards_only(reader: Reader, page: Path, width: int) -> None:
    reader.opens(page, width=width)
    reader.asks("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    assert reader.asks("return document.documentElement.scrollWidth") <= width
    assert reader.asks("return innerWidth") == width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_texts_stand_out(reader: Reader, page: Path, dark: bool) -> None:
    reader.opens(page, dark=dark)
    paper = reader.asks("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(paper) < 60) if dark else (min(paper) > 200)
    assert reader.asks(_FAINT_TEXTS) == []


def test_without_a_script_the_best_and_the_worst_are_there(reader: Reader, page: Path) -> None:
    reader.opens(page, script=False)
    titles = reader.sees("#without-script h3")
    assert titles == ["Best, by CIDEr-D", "In the middle, by CIDEr-D", "Worst, by CIDEr-D"]
    names = reader.sees("#without-script .name")
    assert (len(names), names[0], names[12]) == (18, "picture-0000.png", "picture-0069.png")
    assert "gone.png" in reader.sees("#without-script .absent")[0]
    assert reader.sees("#tools") == []
    assert "With JavaScript this page shows all 70 pictures" in reader.finds("#without-script").text


def test_parts_are_named_for_screen_readers(reader: Reader, page: Path) -> None:
    reader.opens(page)
    assert reader.asks("return [...document.querySelectorAll('header, nav, main, footer, h1')].map((part) => part.localName)") == [
        "header",
        "h1",
        "nav",
        "main",
        "footer",
    ]
    unnamed = """
      const parts = [...document.querySelectorAll("svg, img, nav, section, [role=region], #tools")];
      return parts.filter((part) => !part.ariaLabel && !part.alt && !part.getAttribute("aria-labelledby")).length;
    """
    assert reader.asks(unnamed) == 0
    assert reader.asks("return [...document.querySelectorAll('input, select')].filter((field) => !field.labels.length).length") == 0
    assert reader.asks("return [...document.querySelectorAll('a[href^=\"#\"]')].filter((link) => !document.querySelector(link.hash)).length") == 0


def test_paper_has_no_tools_and_nothing_is_cut(reader: Reader, page: Path) -> None:
    reader.opens(page, width=PAPER)
    reader.tells("Emulation.setEmulatedMedia", media="print")
    try:
        assert reader.sees("nav, #tools, #more") == []
        assert reader.asks("return getComputedStyle(document.querySelector('#list .card')).breakInside") == "avoid"
        assert reader.asks("return document.documentElement.scrollWidth") <= PAPER
    finally:
        reader.tells("Emulation.setEmulatedMedia", media="")
