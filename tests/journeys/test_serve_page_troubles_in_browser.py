"""The page of the server where something is wrong: hostile names, pictures that are refused, a server that is busy, gone, or wants a key."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Semaphore

import pytest
from page_reader import Reader
from page_server import DECODE, HANGS_UP, Answer, PageServer
from page_user import MakePictures, chooses, until, until_said

Keys = pytest.importorskip("selenium.webdriver.common.keys", reason="selenium is not installed").Keys
pytestmark = pytest.mark.browser

NASTY = "<img src=x onerror=\"document.title = 'broken into'\"><script>document.title = 'broken into'</script>"


def test_names_and_captions_are_never_run(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    name = "<img src=x onerror=alert(1)> ' & .png"
    server.answers = {name: [Answer(captions=((NASTY, -0.1), (f"{NASTY}!", -0.2)))], "b.png": [Answer(422, detail=NASTY)]}
    server.models = [{"name": NASTY, "default": True, "dataset": NASTY, "decode": DECODE}]
    reader.opens(server.address)
    chooses(reader, pictures(name, "b.png"))
    until_said(reader, "1 of 2 pictures captioned, 1 failed")
    assert reader.names == [name, "b.png"]
    assert reader.sees("#list .caption, #list .candidates bdi") == [NASTY, f"{NASTY}!"]
    assert reader.sees("#list .state") == [NASTY]
    assert NASTY in reader.finds("#captioner").text
    assert reader.asks("return document.querySelectorAll('body script, img[src=x]').length") == 0
    assert reader.driver.title == "Captions for your pictures"


def test_what_the_server_would_not_take_is_not_sent(reader: Reader, server: PageServer, pictures: MakePictures, tmp_path: Path) -> None:
    server.picture_bytes = 2000
    (tmp_path / "empty.png").touch()
    (tmp_path / "large.png").write_bytes(b"x" * 2500)
    (tmp_path / "text.txt").write_text("text")
    reader.opens(server.address)
    until(reader, lambda: reader.sees("#limits"), ["Up to 2 kB each, 500 at once."])
    chooses(reader, [tmp_path / "empty.png", tmp_path / "large.png", tmp_path / "text.txt", *pictures("a.png")])
    until_said(reader, "1 of 3 pictures captioned, 2 failed")
    assert reader.sees("#list .state") == ["This file is empty.", "This file has 2.5 kB; the server takes pictures up to 2 kB."]
    assert reader.sees("#left-out p") == ["Left out, as it is no picture: text.txt."]
    assert [name for name, _ in server.asked] == ["a.png"]


def test_more_pictures_than_the_page_holds_are_left_out_and_counted(reader: Reader, server: PageServer) -> None:
    reader.opens(server.address)
    server.permits = Semaphore(0)
    many = """
      const files = new DataTransfer();
      for (let number = 0; number < 503; number += 1) files.items.add(new File(["x"], `${number}.png`, { type: "image/png" }));
      const input = document.querySelector("#choose");
      input.files = files.files;
      input.dispatchEvent(new Event("change"));
    """
    reader.asks(many)
    assert len(reader.names) == 500
    assert reader.sees("#left-out p") == ["Left out: 3 pictures. This page holds 500 at once; for more there is the command clipcap caption."]
    reader.finds("#stop").click()


def test_what_failed_is_said_and_tried_again_where_that_may_help(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    server.answers = {"b.png": [Answer(422, detail="b.png is no picture: it is text")], "c.png": [Answer(HANGS_UP)]}
    reader.opens(server.address)
    chooses(reader, pictures("a.png", "b.png", "c.png"))
    until_said(reader, "1 of 3 pictures captioned, 2 failed")
    assert reader.sees("#list .state") == [
        "b.png is no picture: it is text",
        "It could not be sent: the connection broke, or the file was moved or changed since it was chosen.",
    ]
    assert reader.sees('#list [data-do="again"]') == ["Again", "Try again"]
    server.answers = {}
    reader.finds("#retry").click()
    until_said(reader, "2 of 3 pictures captioned, 1 failed")
    assert reader.sees("#retry") == []
    assert sorted(name for name, _ in server.asked).count("a.png") == 1
    assert sorted(name for name, _ in server.asked).count("b.png") == 1


def test_a_few_go_at_a_time_and_the_rest_can_be_stopped(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    server.permits = Semaphore(4)
    reader.opens(server.address)
    chooses(reader, pictures(*(f"{number:02d}.png" for number in range(12))))
    until(reader, lambda: reader.asks("return document.querySelectorAll('[data-state=done]').length"), 4)
    assert reader.asks("return [document.querySelector('#progress').value, document.querySelector('#progress').max]") == [4, 12]
    assert reader.sees("#retry, #again") == []
    reader.finds("#stop").click()
    until_said(reader, "4 of 12 pictures captioned, 8 failed")
    assert set(reader.sees("#list .state")) == {"Stopped before it had a caption."}
    until(reader, lambda: len(server.asked), 8)
    assert server.most == 4
    server.permits = None
    reader.finds("#retry").click()
    until_said(reader, "12 pictures captioned")


def test_a_busy_server_is_waited_for(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    server.answers = {"a.png": [Answer(429, detail="64 pictures wait already.", wait="2"), Answer()]}
    reader.opens(server.address)
    chooses(reader, pictures("a.png"))
    until_said(reader, "0 of 1 picture captioned. 64 pictures wait already. Going on in 2 s.")
    until_said(reader, "1 picture captioned")
    assert len(server.asked) == 2


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    server.down = True
    reader.opens(server.address)
    gone = "The server cannot be reached. Nothing is lost: what is waiting is sent when it answers again."
    until(reader, lambda: reader.sees("#held p"), [gone])
    chooses(reader, pictures("a.png", "b.png"))
    assert reader.sees("#list .state") == ["Waiting", "Waiting"]
    server.down = False
    reader.finds("#held button").click()
    until_said(reader, "2 pictures captioned")
    assert reader.sees("#held") == []
    server.down = True
    reader.finds("#again").click()
    until(reader, lambda: reader.sees("#held p"), [gone])
    server.down = False
    reader.asks("dispatchEvent(new Event('online'))")
    until_said(reader, "2 pictures captioned")


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    server.key = "se-cret"
    reader.opens(server.address)
    until(reader, lambda: reader.sees("#key-dialog h2"), ["A key, please"])
    reader.presses("two words", Keys.ENTER)
    assert reader.sees("#key-problem") == ["A key has letters, digits and signs, and no spaces."]
    reader.presses("wrong", Keys.ENTER)
    until(reader, lambda: reader.sees("#key-problem"), ["The server does not take this key."])
    reader.presses(Keys.ESCAPE)
    assert (reader.sees("#key-dialog h2"), reader.sees("#held p")) == ([], ["This server asks for a key."])
    reader.finds("#held button").click()
    reader.presses("se-cret", Keys.ENTER)
    until(reader, lambda: reader.sees("#held, #key-dialog h2"), [])
    chooses(reader, pictures("a.png", "b.png"))
    until_said(reader, "2 pictures captioned")
    kept = "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie, document.documentElement.outerHTML.includes('se-cret')]"
    assert reader.asks(kept) == [["se-cret"], [], "", False]
    server.key = "another"
    reader.finds("#again").click()
    until(reader, lambda: reader.sees("#key-problem"), ["The server does not take this key."])
    reader.presses("another", Keys.ENTER)
    until_said(reader, "2 pictures captioned")
    reader.finds("#forget").click()
    assert reader.asks("return sessionStorage.length") == 0


def test_a_wrong_setting_is_said_and_pictures_wait_for_it(reader: Reader, server: PageServer, pictures: MakePictures) -> None:
    reader.opens(server.address)
    until(reader, lambda: reader.sees("#settings summary b"), ["Settings"])
    reader.finds("#settings summary").click()
    reader.finds("[name=beams]").send_keys("00")
    assert reader.sees("#held p") == ["Beams must be a whole number from 1 to 16."]
    reader.finds("#settings summary").click()
    chooses(reader, pictures("a.png"))
    until(reader, lambda: reader.asks("return [document.activeElement.name, document.querySelector('#settings').open]"), ["beams", True])
    assert (reader.sees("#list .state"), server.asked) == (["Waiting"], [])
    reader.presses(Keys.BACKSPACE, Keys.BACKSPACE)
    until_said(reader, "1 picture captioned")
    assert reader.sees("#held") == []


def test_what_a_browser_kept_from_elsewhere_does_no_harm(reader: Reader, server: PageServer) -> None:
    reader.opens(server.address)
    for kept in ("{", "[1]", "null", json.dumps({"beams": "1000", "strategy": "none", "model": "gone", "candidates": 3, "x": "y"})):
        reader.driver.execute_script("localStorage.setItem('clipcap.settings', arguments[0])", kept)
        reader.opens(server.address)
        until(reader, lambda: reader.sees("#in-words")[0].split(" ·")[0] if reader.sees("#in-words") else "", "beam search")
        assert reader.asks("return [form.beams.value, form.candidates.value]") == ["5", "3"]
        assert reader.complaints() == []
