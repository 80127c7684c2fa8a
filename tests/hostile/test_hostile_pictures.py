"""Pictures that are none, or that would become far more than they are: each is named and left out, and the others are taken."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hostile_tools import Stage, chunk, png, replace, sparse
from PIL import Image

from clipcap_cli.datasets.pictures import open_picture, picture_header
from clipcap_cli.errors import InputError


@cache
def good(kind: str) -> bytes:
    """An honest picture in this format."""
    stream = io.BytesIO()
    Image.effect_noise((40, 30), 80).convert("RGB").save(stream, kind)
    return stream.getvalue()


def gif_of_frames(count: int) -> bytes:
    """A GIF of one pixel with very many frames."""
    frame = b"\x21\xf9\x04\x00\x00\x00\x00\x00" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * count + b"\x3b"


def tiff_of_itself() -> bytes:
    """A TIFF whose next directory is its first."""
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 8), (279, 4, 1, 64)]
    return (
        b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<I", 8)
    )


TEXT_BOMB = zlib.compress(bytes(64 * 2**20))
REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\xff",
    "zeros": bytes(10_000),
    "a thousand million pixels": png(2**31 - 1, 1) + b"",
    "a header of 10^9 x 10^9": png(10**9, 10**9),
    "a bomb": png(20_000, 15_000),
    "no width": png(0, 5),
    "cut short": good("PNG")[:20],
    "a JPEG cut in its header": good("JPEG")[:20],
    "wrong sums": good("PNG").replace(b"IHDR", b"IHDX"),
    "a text that unpacks to 64 MB": png(8, 8, before=chunk(b"zTXt", b"x\0\0" + TEXT_BOMB)),
    "a profile that unpacks to 64 MB": png(10**9, 8, before=chunk(b"iCCP", b"x\0\0" + TEXT_BOMB)),
    "a drawing": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "a drawing with entities": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><svg>&a;</svg>",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(canary) (w) file\n",
    "a PDF": b"%PDF-1.7\n",
    "a pickle": b"cposix\nsystem\n(S'echo > $CLIPCAP_CANARY'\ntR.",
    "a script": b"#!/bin/sh\necho > $CLIPCAP_CANARY\n",
    "a TIFF of itself": tiff_of_itself()[:40],
    "a BMP of 10^9 rows": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 10**9, 10**9, 1, 24, 0, 0, 0, 0, 0, 0),
    "a PPM of 10^9 columns": b"P6 1000000000 1000000000 255\n",
    "a PPM of many digits": b"P6 " + b"9" * 100_000,
    "a JPEG 2000 box without end": b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I", 2**31) + b"jp2h",
    "a WebP that lies": b"RIFF" + struct.pack("<I", 2**31) + b"WEBPVP8L" + b"\xff" * 40,
}


@pytest.mark.parametrize("picture", REFUSED)
def test_it_is_left_out_of_a_dataset_and_of_captions(picture: str, stage: Stage) -> None:
    folder = stage.work / "mixed"
    for suffix in (".jpg", ".tif"):
        replace(folder / f"bad{suffix}", REFUSED[picture]).with_suffix(".txt").write_text("a picture")
    shutil.copy(stage.pictures / "train" / "red.png", folder / "good.png")
    (folder / "good.txt").write_text("a red picture")
    said = stage.run("dataset", "add", folder)
    assert said.code == 0, said.err
    assert "1 picture, 1 caption" in said.out
    assert len(said.err) + len(said.out) < 10_000
    with pytest.raises(InputError):
        open_picture(REFUSED[picture], "bad.jpg")


@pytest.mark.parametrize(
    ("name", "data"),
    [("a GIF of 100,000 frames", gif_of_frames(100_000)), ("a TIFF of itself", tiff_of_itself() + bytes(200)), ("a long tail", good("PNG") + bytes(10**7))],
)
def test_of_a_picture_of_many_pictures_only_the_first_is_read(name: str, data: bytes) -> None:
    assert name
    assert min(open_picture(data, "many").size) >= 1
    assert min(picture_header(data, "many").size) >= 1


ENTRIES: dict[str, Callable[[Path, Path], object]] = {
    "a pipe": lambda path, outside: os.mkfifo(path),
    "a device": lambda path, outside: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path, outside: path.symlink_to(path),
    "a link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
    "a link to another file": lambda path, outside: path.symlink_to(outside / "precious.txt"),
    "a link to a folder": lambda path, outside: path.symlink_to(outside),
    "a folder": lambda path, outside: path.mkdir(),
    "ten gigabytes": lambda path, outside: sparse(path),
    "ten gigabytes that begin well": lambda path, outside: sparse(path, start=good("PNG")),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("suffix", [".png", ".txt"])
def test_what_is_no_plain_file_is_not_opened(entry: str, suffix: str, stage: Stage) -> None:
    folder = stage.work / "mixed"
    shutil.copytree(stage.pictures / "train", folder)
    ENTRIES[entry](folder / f"strange{suffix}", stage.outside)
    other = folder / f"strange{'.txt' if suffix == '.png' else '.png'}"
    shutil.copy(folder / f"red{other.suffix}", other)
    said = stage.run("dataset", "add", folder)
    assert said.code == 0, said.err
    assert "4 pictures" in said.out or "5 pictures, 4 captions" in said.out or ("5 pictures, 5 captions" in said.out and "another file" in entry), said.out
    if suffix == ".png":
        stage.refuses("caption", folder / "strange.png")
