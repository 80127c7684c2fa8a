from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mean_colour import ColourEncoder, draw_colours

import clipcap_cli
from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.errors import InputError, UsageError
from clipcap_cli.storage.home import Home

Clipcap = Callable[..., Any]


@pytest.fixture
def colours(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcap_cli.encoders.registry.load_encoder", lambda *_, **__: ColourEncoder())
    add_dataset(draw_colours(tmp_path / "colours", to_validate=1), name="colours", home=home)


def test_pictures_are_embedded_on_several_devices(clipcap: Clipcap, colours: None) -> None:
    said = clipcap("embed", "colours", "--encoder", "efficientnet-lite0", "--devices", "cpu,cpu", "--batch-size", "3")
    assert said.code == 0, said.err
    assert "16 pictures embedded" in said.out
    assert "pictures are shared between cpu, cpu" in said.err
    assert "0 pictures embedded, 16 were there" in clipcap("embed", "colours", "--encoder", "efficientnet-lite0").out


def test_what_limited_is_told_at_the_end(clipcap: Clipcap, colours: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcap_cli.embeddings.limits._WORTH_S", 0.0)
    said = clipcap("embed", "colours", "--encoder", "efficientnet-lite0", "--batch-size", "1")
    assert said.err.splitlines()[-1].startswith("what limits: ")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--devices", "3"), 3, "this machine has 1 device, cpu, and 3 were asked for"),
        (("--devices", "cuda:0,cpu"), 4, "has no 'cuda:0'"),
        (("--devices", "all"), 3, "there is no device 'all'"),
        (("--devices", "auto", "--device", "cpu"), 2, "exclude each other"),
    ],
)
def test_devices_that_cannot_be_are_told_before_anything_is_done(options: tuple[str, ...], code: int, message: str, clipcap: Clipcap, colours: None) -> None:
    said = clipcap("embed", "colours", "--encoder", "efficientnet-lite0", *options)
    assert (said.code, said.out) == (code, "")
    assert message in said.err


def test_the_python_face_has_devices_too(colours: None, home: Home) -> None:
    done = clipcap_cli.embed("colours", encoder="efficientnet-lite0", home=home, devices=["cpu", "cpu"])
    assert (done.new, done.limit) == (16, None)
    with pytest.raises(InputError, match="2 were asked for"):
        clipcap_cli.embed("colours", home=home, devices=2)
    with pytest.raises(UsageError, match="exclude each other"):
        clipcap_cli.embed("colours", home=home, devices="auto", device="cpu")
