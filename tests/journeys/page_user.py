"""What people do on the page of the server, and what they wait for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_reader import Reader
from PIL import Image

MakePictures = Callable[..., list[Path]]


def draw(folder: Path, *names: str) -> list[Path]:
    """Small pictures of these names."""
    for place, name in enumerate(names):
        Image.new("RGB", (64, 48), (40 * place % 256, 120, 90)).save(folder / name, "PNG")
    return [folder / name for name in names]


def chooses(reader: Reader, files: list[Path]) -> None:
    """In the dialog of the browser."""
    reader.finds("#choose").send_keys("\n".join(map(str, files)))


def drops(reader: Reader, files: list[Path]) -> None:
    """A real drag from outside of the browser, over the cards' place and not over that for pictures."""
    for kind in ("dragEnter", "dragOver", "drop"):
        reader.tells("Input.dispatchDragEvent", type=kind, x=20, y=600, data={"items": [], "files": list(map(str, files)), "dragOperationsMask": 1})


def until(reader: Reader, seen: Callable[[], Any], wanted: object) -> None:
    """Waits for it, ten seconds at most."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    try:
        WebDriverWait(reader.driver, 10, poll_frequency=0.02).until(lambda _: seen() == wanted)
    except TimeoutException:
        assert seen() == wanted


def until_said(reader: Reader, wanted: str) -> None:
    """Until the page says so of all pictures."""
    until(reader, lambda: reader.finds("#number").text, wanted)
