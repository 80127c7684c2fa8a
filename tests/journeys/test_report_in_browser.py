"""The report as a reader has it: in a real Chromium, by mouse and keyboard, on a phone, in the dark, and with JavaScript off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_scores import made_images, made_scores
from page_reader import FAINT_TEXTS, PAPER, PHONES, Reader

from clipcap_cli.evaluation.report import write_report

Keys = pytest.importorskip("selenium.webdriver.common.keys", reason="selenium is not installed").Keys
pytestmark = pytest.mark.browser

PICTURES = 70
NASTY = "<script>document.title = 'broken into'</script><img src=x onerror=\"document.title = 'broken into'\">"


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


def test_nothing_is_asked_for_and_nothing_goes_wrong(reader: Reader, page: Path) -> None:
    reader.opens(page)
    assert reader.names[:2] == ["picture-0000.png", "picture-0001.png"]
    assert reader.complaints() == []
    assert [url for url in reader.requests(page) if not url.startswith("data:")] == [page.as_uri()]


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
    assert reader.asks(FAINT_TEXTS) == []


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
