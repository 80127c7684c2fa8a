"""The page of the server as people have it: in a real Chromium, by mouse, keyboard and touch. What goes wrong is in test_serve_page_troubles_in_browser.py."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from threading import Semaphore

import pytest
from journey_tools import Road
from page_reader import FAINT_TEXTS, PHONES, Reader
from page_server import CAPTIONS, DECODE, Answer, PageServer, real_server
from page_user import MakePictures, chooses, drops, until, until_said
from PIL import Image
from said import Said

from clipcap_cli.serving.page import page_files

Keys = pytest.importorskip("selenium.webdriver.common.keys", reason="selenium is not installed").Keys
pytestmark = pytest.mark.browser

KEY = "a-key-of-this-test-alone"
BEST = CAPTIONS[0][0]
PASTED = """
const file = new File([Uint8Array.from(arguments[0])], "image.png", { type: "image/png" }), clipboardData = new DataTransfer();
clipboardData.items.add(file);
document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
"""


def test_nothing_is_asked_for_elsewhere_and_nothing_goes_wrong(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    reader.opens(server.address)
    chooses(reader, pictures("a.png"))
    until_said(reader, "1 picture captioned")
    assert reader.complaints() == []
    asked = {url.split("?")[0].removeprefix(server.address) for url in reader.requests(server.address) if not url.startswith("blob:")}
    assert {"", "static/page.js", "v1/models", "v1/caption"} <= asked
    assert {f"/{address}" for address in asked} <= {*page_files(), "/v1/models", "/v1/caption"}


def test_pictures_are_chosen_and_captioned_with_scores(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    server.answers = {"a.png": [Answer(captions=(*CAPTIONS, CAPTIONS[1]))]}
    reader.opens(server.address)
    until(reader, lambda: reader.sees("#captioner"), ["The captioner quickstart, which learned from food, writes a sentence about each picture."])
    chooses(reader, pictures("a.png", "b.png"))
    until_said(reader, "2 pictures captioned")
    assert reader.names == ["a.png", "b.png"]
    assert reader.sees(".card:first-child .best") == [f"{BEST}\n−0.31"]
    assert reader.sees(".card:first-child .candidates li") == ["a plate with apples\n−0.42", "there are apples, on a plate\n−0.77"]
    until(reader, lambda: reader.asks("return [...document.images].map((image) => image.naturalWidth)"), [64, 64])


def test_pictures_and_folders_are_dropped_anywhere(reader: Reader, server: PageServer, pictures: MakePictures, tmp_path: Path) -> None:
    pictures("one.png")
    folder = tmp_path / "folder"
    (folder / "deeper").mkdir(parents=True)
    for name in ("10.png", "9.png", "deeper/1.png", ".hidden.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    reader.opens(server.address)
    drops(reader, [tmp_path / "one.png", folder])
    until_said(reader, "4 pictures captioned")
    assert reader.names == ["one.png", "9.png", "10.png", "1.png"]
    assert reader.sees("#left-out p") == ["Left out, as it is no picture: notes.txt."]
    assert reader.driver.current_url == server.address


def test_pictures_are_pasted(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    reader.opens(server.address)
    content = list(pictures("a.png")[0].read_bytes())
    for _ in range(2):
        reader.driver.execute_script(PASTED, content)
    until_said(reader, "2 pictures captioned")
    assert reader.names == ["pasted 1.png", "pasted 2.png"]


def test_settings_are_the_servers_and_are_remembered(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    other = {"name": "birds", "dataset": None, "decode": {**DECODE, "strategy": "sample", "temperature": 0.7, "max_tokens": 500, "banned": ["cat", "dog"]}}
    server.models = [*server.models, other]
    reader.opens(server.address)
    until(reader, lambda: reader.sees("#in-words"), ["quickstart · beam search · 3 captions each"])
    reader.finds("#settings summary").click()
    assert reader.asks("return ['candidates', 'beams'].map((name) => [form[name].value, form[name].min, form[name].max])") == [
        ["3", "1", "16"],
        ["5", "1", "16"],
    ]
    assert reader.asks("return document.querySelectorAll('[name=no_repeat_ngram]').length") == 0
    reader.finds("[name=candidates]").send_keys(Keys.BACKSPACE, "2")
    reader.finds("[name=model]").send_keys("birds")
    assert reader.sees("#in-words") == ["birds · sampling · 2 captions each · changed by you"]
    reader.opens(server.address)
    until(reader, lambda: reader.sees("#in-words"), ["birds · sampling · 2 captions each · changed by you"])
    chooses(reader, pictures("a.png"))
    until_said(reader, "1 picture captioned")
    options = server.asked[0][1]
    # The captioner's own 500 tokens are more than the server allows.
    assert options == {
        **{"model": "birds", "strategy": "sample", "candidates": "2", "samples": "2", "temperature": "0.7", "top_p": "0.9", "seed": "0"},
        **{"max_tokens": "128", "min_tokens": "1", "repetition_penalty": "1", "banned": "dog"},
    }
    reader.finds("#settings summary").click()
    reader.finds("button[type=reset]").click()
    assert reader.sees("#in-words") == ["birds · sampling · 3 captions each"]


@pytest.mark.parametrize("clipboard", ["its own API", "the old way"])
def test_captions_are_copied(reader: Reader, server: PageServer, pictures: MakePictures, clipboard: str) -> None:
    reader.opens(server.address)
    if clipboard == "the old way":  # as it is for a page over plain HTTP from another machine
        reader.asks("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    chooses(reader, pictures("a.png"))
    until_said(reader, "1 picture captioned")
    reader.finds("#settings summary").click()
    reader.finds(".more-settings summary").click()

    def pasted() -> str:
        reader.finds("[name=banned]").clear()
        reader.finds("[name=banned]").send_keys(Keys.CONTROL, "v")
        return str(reader.finds("[name=banned]").get_attribute("value"))

    reader.finds(".candidates li:nth-child(2) button").click()
    until(reader, lambda: reader.asks("return document.querySelector('#announcement').textContent"), "Copied.")
    assert pasted() == "there are apples, on a plate"
    reader.finds('[data-do="copy"]').click()
    until(reader, pasted, BEST)


def test_captions_are_downloaded_as_a_table(reader: Reader, server: PageServer, pictures: MakePictures, tmp_path: Path) -> None:
    server.answers = {
        "-a, b.png": [Answer(captions=(('=HYPERLINK("x")', -0.5), ('two "apples",\nand Äpfel', -1.25)))],
        "b.png": [Answer(422, detail="no picture")],
    }
    reader.opens(server.address)
    chooses(reader, pictures("-a, b.png", "b.png"))
    until_said(reader, "1 of 2 pictures captioned, 1 failed")
    table = tmp_path / "downloads" / "captions.csv"
    reader.tells("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(table.parent))
    reader.finds("#download").click()
    until(reader, table.exists, True)
    content = table.read_bytes().decode("utf-8-sig")
    assert content.count("\r\n") == 4
    assert list(csv.reader(content.splitlines(keepends=True))) == [
        ["image", "caption", "score", "rank", "model", "problem"],
        ["'-a, b.png", '\'=HYPERLINK("x")', "-0.5", "1", "quickstart", ""],
        ["'-a, b.png", 'two "apples",\nand Äpfel', "-1.25", "2", "quickstart", ""],
        ["b.png", "", "", "", "", "no picture"],
    ]


def test_everything_can_be_done_with_the_keyboard(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    reader.opens(server.address)
    chooses(reader, pictures("a.png", "b.png", "c.png", "d.png", "e.png", "f.png"))
    until_said(reader, "6 pictures captioned")
    reader.presses("j")
    assert reader.here == "a.png"
    assert reader.asks("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reader.presses("j", Keys.ARROW_RIGHT, "k", Keys.ARROW_DOWN)
    assert reader.here == "f.png"
    reader.presses(Keys.ARROW_UP, "c")
    until(reader, lambda: reader.asks("return document.querySelector('#announcement').textContent"), "Copied.")
    reader.presses("r")
    until(reader, lambda: [name for name, _ in server.asked].count("b.png"), 2)
    reader.presses(Keys.DELETE)
    assert (reader.here, len(reader.names)) == ("c.png", 5)
    reader.presses(Keys.TAB)
    assert reader.asks("return document.activeElement.dataset.do") == "copy-candidate"
    reader.presses("?")
    assert reader.sees("#help h2") == ["Help"]
    reader.presses("j", Keys.ESCAPE)
    assert (reader.sees("#help h2"), reader.asks("return document.activeElement.dataset.do")) == ([], "copy-candidate")
    reader.finds("#settings summary").click()
    reader.finds("[name=max_tokens]").send_keys(Keys.ESCAPE)
    assert reader.asks("return document.activeElement.localName") == "body"


def test_pictures_that_go_give_their_memory_back(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    reader.opens(server.address)
    counted = """
      window.open_addresses = new Set();
      const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
      URL.createObjectURL = (file) => { const address = create.call(URL, file); open_addresses.add(address); return address; };
      URL.revokeObjectURL = (address) => { revoke.call(URL, address); open_addresses.delete(address); };
    """
    reader.asks(counted)
    chooses(reader, pictures("a.png", "b.png", "c.png"))
    until_said(reader, "3 pictures captioned")
    reader.finds('[data-do="remove"]').click()
    assert reader.asks("return open_addresses.size") == 2
    reader.finds("#clear").click()
    assert reader.sees("#clear-what") == ["2 pictures and 2 captions go from this page. Your files stay where they are."]
    reader.presses(Keys.ESCAPE)
    assert reader.names == ["b.png", "c.png"]
    reader.finds("#clear").click()
    reader.finds("#clear-dialog .main").click()
    until(reader, lambda: reader.names, [])
    assert (reader.asks("return open_addresses.size"), reader.sees("#tools")) == (0, [])


@pytest.mark.parametrize("width", PHONES)
def test_a_phone_scrolls_downwards_only_and_has_a_camera(reader: Reader, server: PageServer, pictures: MakePictures, width: int) -> None:
    reader.tells("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        reader.opens(server.address, width=width)
        chooses(reader, pictures(f"{'long' * 50}.png", "b.png"))
        until_said(reader, "2 pictures captioned")
        reader.asks("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        assert reader.asks("return [document.documentElement.scrollWidth, innerWidth]") == [width, width]
        assert reader.sees(".ways label") == ["Choose pictures", "Take a photo"]
        assert reader.sees("#invitation") == []
        reader.finds("#camera").send_keys(str(pictures("photo.png")[0]))
        until_said(reader, "3 pictures captioned")
    finally:
        reader.tells("Emulation.setTouchEmulationEnabled", enabled=False)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_texts_stand_out(reader: Reader, server: PageServer, pictures: MakePictures, dark: bool) -> None:
    server.answers = {"b.png": [Answer(422, detail="no picture")]}
    reader.opens(server.address, dark=dark)
    paper = reader.asks("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(paper) < 60) if dark else (min(paper) > 200)
    chooses(reader, pictures("a.png", "b.png"))
    until_said(reader, "1 of 2 pictures captioned, 1 failed")
    reader.asks("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    reader.finds("[name=beams]").send_keys("00")
    assert len(reader.sees("#held p")) == 1
    assert reader.asks(FAINT_TEXTS) == []
    for dialog in ("key-dialog", "clear-dialog", "help"):
        reader.driver.execute_script("document.getElementById(arguments[0]).showModal()", dialog)
        assert reader.asks(FAINT_TEXTS) == []


def test_parts_are_named_for_screen_readers(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    reader.opens(server.address)
    chooses(reader, pictures("a.png"))
    until_said(reader, "1 picture captioned")
    until(reader, lambda: reader.asks("return document.querySelector('#announcement').textContent"), "1 picture captioned.")
    assert reader.asks("return document.querySelector('.card').ariaLabel") == f"a.png: {BEST}"
    unnamed = """
      const parts = [...document.querySelectorAll("img, dialog, main, progress, [role=group]")];
      return parts.filter((part) => !part.ariaLabel && !part.alt && !part.getAttribute("aria-labelledby")).length;
    """
    assert reader.asks(unnamed) == 0
    assert reader.asks("return [...document.querySelectorAll('input, select')].filter((field) => !field.labels.length).length") == 0


def test_nothing_moves_for_those_who_want_no_motion(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    server.permits = Semaphore(0)
    moving = "return getComputedStyle(document.querySelector('.card img')).animationName"
    reader.opens(server.address)
    chooses(reader, pictures("a.png"))
    assert reader.asks(moving) == "breathe"
    reader.tells("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    assert reader.asks(moving) == "none"


def test_without_a_script_the_page_says_what_does_the_same(reader: Reader, server: PageServer) -> None:
    reader.opens(server.address, script=False)
    assert reader.sees("noscript p") == ["This page needs JavaScript. Without it, clipcap caption and the server's API do the same."]


@pytest.mark.journey
def test_a_captioner_that_was_just_trained_captions_on_a_phone(reader: Reader, road: Road, clipcap: Callable[..., Said], tmp_path: Path) -> None:
    """With the real server and the real captioner: the page shows what the command line says."""
    picture, keys = road.pictures / "red circle.jpg", tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    with real_server(road.home, keys) as address:
        reader.opens(address, width=PHONES[1])
        until(reader, lambda: reader.sees("#key-dialog h2"), ["A key, please"])
        reader.presses(KEY, Keys.ENTER)
        chooses(reader, [picture, Path(__file__)])
        until_said(reader, "1 picture captioned")
        shown = reader.sees("#list .caption, #list .candidates bdi")
        assert reader.sees("#left-out p") == [f"Left out, as it is no picture: {Path(__file__).name}."]
        asked = {url.removeprefix(address).split("?")[0] for url in reader.requests(address) if not url.startswith("blob:")}
        assert {f"/{path}" for path in asked} == {*page_files(), "/v1/models", "/v1/caption"}
        assert [line for line in reader.complaints() if "401" not in line] == []
    said = json.loads(clipcap("caption", picture, "--candidates", 3, "--format", "jsonl").out)
    assert shown == [candidate["text"] for candidate in said["candidates"]]
