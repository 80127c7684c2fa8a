"""A captioner trained by the real command, once for all journeys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from journey_tools import SHORT, Road, draw_pictures, run_command
from page_reader import Reader, start_chromium
from page_server import PageServer, page_server
from page_user import MakePictures, draw
from said import Said

from clipcap_cli.cli.main import main


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    """The first two of the three lines that people type."""
    folder = tmp_path_factory.mktemp("road")
    pictures, home = folder / "shapes", folder / "home"
    draw_pictures(pictures)
    added = run_command(home, "dataset", "add", pictures)
    trained = run_command(home, "train", "quickstart", "--dataset", "shapes", "train.epochs=4", "train.batch_size=4", "train.validate_every=8", *SHORT)
    return Road(pictures, home, added, trained)


@pytest.fixture
def clipcap(road: Road, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Said]:
    """A command line on that store, in this process (torch is loaded once): what libraries print past Python is seen too."""
    monkeypatch.setenv("CLIPCAP_HOME", str(road.home))
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: object) -> Said:
        code = main([str(argument) for argument in arguments])
        sys.stdout.flush()
        said = capfdbinary.readouterr()
        return Said(code, said.out.decode(), said.err.decode())

    return run


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium, started once."""
    started = start_chromium(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


@pytest.fixture
def reader(driver: Any) -> Reader:
    """Who reads a page in it; what was logged before is forgotten."""
    for log in ("browser", "performance"):
        driver.get_log(log)
    return Reader(driver)


@pytest.fixture
def server() -> Iterator[PageServer]:
    """A server that the page talks with; how it answers is set by the test."""
    with page_server() as started:
        yield started


@pytest.fixture
def pictures(tmp_path: Path) -> MakePictures:
    """A function that makes pictures of the names that it is given."""
    return partial(draw, tmp_path)
