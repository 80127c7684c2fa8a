"""The preview of a dataset as a reader has it: in a real Chromium, by mouse and keyboard, on a phone, in the dark, and with JavaScript off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_dataset import made_dataset, made_pictures
from page_reader import FAINT_TEXTS, PAPER, PHONES, Reader

from clipcap_cli.datasets.manifest import Provenance
from clipcap_cli.datasets.preview import write_preview
from clipcap_cli.storage.home import Home

Keys = pytest.importorskip("selenium.webdriver.common.keys", reason="selenium is not installed").Keys
pytestmark = pytest.mark.browser

PICTURES = 260
NASTY = "<img src=x onerror=\"document.title = 'broken into'\"><script>document.title = 'broken into'</script>"
LONG = "word" * 500


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """260 pictures in three splits and none, the later the larger: one is nasty, one has a very long caption, one has no file."""
    folder = tmp_path_factory.mktemp("preview")
    pictures = made_pictures(folder / "pictures", PICTURES)
    pictures[1] = replace(pictures[1], captions=(NASTY, NASTY), tags={NASTY: NASTY})
    pictures[2] = replace(pictures[2], captions=(LONG, "x", "a third one"), tags={"course": "dessert"})
    pictures[5] = replace(pictures[5], name="gone.png", path="", width=0, height=0)
    pictures.sort(key=lambda picture: picture.name)
    dataset = made_dataset(Home(folder / "home"), pictures, provenance=Provenance(licence="CC0", source="https://example.org/" + "x" * 200))
    problems = {"no-end-mark": [f"picture-{number:04d}.png" for number in range(0, 40, 4)], NASTY: ["picture-0001.png"], "dull": ["picture-0001.png"]}
    write_preview(dataset, folder / "preview.html", problems=problems)
    return folder / "preview.html"


def name(number: int) -> str:
    return f"picture-{number:04d}.png"


def _chooses(reader: Reader, what: str, told: str) -> None:
    """By keyboard: the option that begins so."""
    reader.finds(f"select[name={what}]").send_keys(told)


def test_nothing_is_asked_for_and_nothing_goes_wrong(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.presses("j", Keys.ENTER)
    assert reader.complaints() == []
    assert [url for url in reader.requests(page) if not url.startswith("data:")] == [page.as_uri()]


def test_captions_are_never_run(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.finds("input[name=search]").send_keys("onerror")
    assert reader.names == [name(1)]
    assert reader.sees("#list .captions li") == [NASTY]
    assert reader.sees("#list .problems li") == [NASTY, "dull"]
    reader.finds("#list .card").click()
    assert reader.sees("#large .captions li") == [NASTY, NASTY]
    assert reader.sees("#large dt")[-1] == NASTY
    assert reader.asks("return document.querySelectorAll('main script, dialog script, img[src=x]').length") == 0
    assert reader.driver.title == "shapes v1"


def test_pictures_come_as_one_scrolls(reader: Reader, page: Path) -> None:
    reader.opens(page)
    assert reader.sees("#number") == ["260 of 260 pictures."]
    assert len(reader.names) == 120
    scrolled = "scrollTo(0, document.documentElement.scrollHeight); const done = arguments[0]; setTimeout(done, 200)"
    for _ in range(4):
        reader.driver.execute_async_script(scrolled)
    assert len(reader.names) == PICTURES
    assert reader.sees("#more") == []


def test_pictures_are_filtered_by_split_problem_and_words(reader: Reader, page: Path) -> None:
    reader.opens(page)
    assert reader.asks("return [...document.querySelectorAll('[name=split] option')].map((option) => option.textContent)") == [
        "all",
        "train (104)",
        "val (52)",
        "test (52)",
        "no split (52)",
    ]
    _chooses(reader, "split", "val")
    assert reader.sees("#number") == ["52 of 260 pictures."]
    assert set(reader.sees("#list .foot bdi")) == {"val"}
    _chooses(reader, "problem", "no-end")
    assert reader.names == [name(12), name(32)]
    reader.finds("input[name=search]").send_keys("NUMBER 32")
    assert reader.names == [name(32)]
    reader.finds("button[type=reset]").click()
    assert reader.sees("#number") == ["260 of 260 pictures."]
    _chooses(reader, "split", "no split")
    _chooses(reader, "problem", "any")
    assert reader.names == [name(4), name(24)]
    reader.finds("button[type=reset]").click()
    reader.finds("input[name=search]").send_keys("dessert")
    assert reader.names == [name(2)]
    reader.finds("input[name=search]").send_keys("zzz")
    assert (reader.names, reader.sees("#number")) == ([], ["0 of 260 pictures."])


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("by name", "gone.png"),
        ("longest", name(2)),
        ("shortest", name(2)),
        ("most captions", name(2)),
        ("largest", name(259)),
        ("smallest", "gone.png"),
        ("most problems", name(1)),
    ],
)
def test_pictures_are_put_in_order(reader: Reader, page: Path, order: str, first: str) -> None:
    reader.opens(page)
    _chooses(reader, "order", order)
    assert reader.names[0] == first


def test_a_picture_that_cannot_be_shown_says_so_and_can_be_found(reader: Reader, page: Path) -> None:
    reader.opens(page)
    _chooses(reader, "problem", "cannot")
    assert reader.sees("#list .absent") == ["gone.png\nno picture"]
    reader.finds("#list .card").click()
    assert reader.sees("#large .absent") == ["gone.png\nno picture"]
    assert reader.sees("#large dt") == ["Split"]


def test_everything_can_be_done_with_the_keyboard(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.presses("j")
    assert reader.here == "gone.png"
    reader.presses("j", Keys.ARROW_RIGHT, "k")
    assert reader.here == name(0)
    assert reader.asks("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reader.presses(Keys.ARROW_DOWN)
    columns = reader.names.index(reader.here) - 1
    assert columns > 2
    reader.presses(Keys.ARROW_UP, Keys.ENTER)
    assert reader.sees("#large .name") == [name(0)]
    assert reader.sees("#large output") == ["2 of 260"]
    reader.presses(Keys.ARROW_RIGHT, "j", Keys.ARROW_DOWN, "k")
    assert reader.sees("#large .name") == [name(2)]
    assert reader.sees("#large .captions li") == [LONG, "x", "a third one"]
    reader.presses(Keys.ESCAPE)
    assert reader.sees("#large .name") == []
    assert reader.here == name(2)
    reader.presses(Keys.SPACE)
    assert reader.sees("#large .name") == [name(2)]
    reader.presses(Keys.ESCAPE, "/", "number 42", "j?")
    assert reader.asks("return document.activeElement.value") == "number 42j?"
    reader.presses(Keys.BACKSPACE, Keys.BACKSPACE, Keys.ESCAPE, "j")
    assert reader.here == name(42)
    reader.presses("?")
    assert reader.sees("#help h2") == ["Keys"]
    reader.presses(Keys.ESCAPE)
    assert reader.sees("#help h2") == []


def test_large_pictures_are_gone_through_beyond_those_that_are_there(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.asks("document.querySelectorAll('#list .card')[119].focus()")
    reader.presses(Keys.ENTER, "j", Keys.ESCAPE)
    assert reader.here == name(120)


def test_large_pictures_are_gone_through_by_buttons_and_closed_beside_them(reader: Reader, page: Path) -> None:
    reader.opens(page)
    reader.finds("#list .open").click()
    assert reader.asks("return document.querySelector('[data-step=\"-1\"]').disabled") is True
    reader.finds("[data-step='1']").click()
    assert reader.sees("#large .name") == [name(0)]
    reader.finds("[data-close]").click()
    assert (reader.sees("#large .name"), reader.here) == ([], name(0))
    reader.asks("document.activeElement.click()")
    assert reader.sees("#large .name") == [name(0)]
    reader.asks("document.querySelector('#large').click()")
    assert reader.sees("#large .name") == []


@pytest.mark.parametrize("width", PHONES)
def test_a_phone_scrolls_downwards_only(reader: Reader, page: Path, width: int) -> None:
    reader.opens(page, width=width)
    assert reader.asks("return document.documentElement.scrollWidth") <= width
    assert reader.asks("return innerWidth") == width
    reader.asks("document.querySelectorAll('#list .card')[3].click()")
    wide = "const box = document.querySelector('#large').getBoundingClientRect(); return [box.width, box.height, innerHeight]"
    box_width, box_height, height = reader.asks(wide)
    assert (box_width, box_height) == (width, height)
    assert reader.asks("return [...document.querySelectorAll('#large, #large *')].filter((part) => part.scrollWidth > innerWidth).length") == 0
    assert reader.sees("[data-close]") == ["Close"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_texts_stand_out(reader: Reader, page: Path, dark: bool) -> None:
    reader.opens(page, dark=dark)
    paper = reader.asks("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(paper) < 60) if dark else (min(paper) > 200)
    assert reader.asks(FAINT_TEXTS) == []
    reader.presses("j", Keys.ENTER)
    assert reader.asks(FAINT_TEXTS) == []


def test_without_a_script_the_first_pictures_are_there_with_all_captions(reader: Reader, page: Path) -> None:
    reader.opens(page, script=False)
    names = reader.sees("#without-script .name")
    assert (len(names), names[:2]) == (24, ["gone.png", name(0)])
    assert reader.sees("#without-script .card:nth-child(2) .captions li") == ["a red apple on a table", "there is a red apple, number 0"]
    assert reader.sees("#tools") == []
    assert "With JavaScript this page shows 260 pictures" in reader.finds("#without-script").text


def test_parts_are_named_for_screen_readers(reader: Reader, page: Path) -> None:
    reader.opens(page)
    assert reader.asks("return [...document.querySelectorAll('header, main, footer, h1')].map((part) => part.localName)") == ["header", "h1", "main", "footer"]
    unnamed = """
      const parts = [...document.querySelectorAll("img, section, dialog, #tools")];
      return parts.filter((part) => !part.ariaLabel && !part.alt && !part.getAttribute("aria-labelledby")).length;
    """
    assert reader.asks(unnamed) == 0
    assert reader.asks("return [...document.querySelectorAll('input, select')].filter((field) => !field.labels.length).length") == 0


def test_paper_has_no_tools_and_nothing_is_cut(reader: Reader, page: Path) -> None:
    reader.opens(page, width=PAPER)
    reader.tells("Emulation.setEmulatedMedia", media="print")
    try:
        assert reader.sees("#tools, #more, #large") == []
        assert reader.asks("return getComputedStyle(document.querySelector('#list .card')).breakInside") == "avoid"
        assert reader.asks("return document.documentElement.scrollWidth") <= PAPER
    finally:
        reader.tells("Emulation.setEmulatedMedia", media="")
