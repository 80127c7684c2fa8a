from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from clipcap_cli.datasets import pictures
from clipcap_cli.datasets.pictures import MAX_PIXELS, Header, open_picture, picture_header, to_rgb
from clipcap_cli.errors import InputError


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def pixel(data: bytes, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    image = open_picture(data, "it")
    assert image.mode == "RGB"
    value = image.getpixel(at)
    assert isinstance(value, tuple)
    return value


def near(found: tuple[int, ...], wanted: tuple[int, ...], by: int = 3) -> bool:
    return all(abs(one - other) <= by for one, other in zip(found, wanted, strict=True))


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_comes_out_as_the_camera_was_held(form: str, orientation: int) -> None:
    meant = Image.new("RGB", (48, 32), "white")
    meant.paste("red", (0, 0, 24, 16))  # the upper left quarter, whichever way the file has it
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = meant.transpose(undo[orientation]) if orientation in undo else meant
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encoded(stored, form, exif=exif)
    image = open_picture(data, "it")
    assert image.size == (48, 32) == picture_header(data, "it").size
    assert near(image.getpixel((6, 6)), (255, 0, 0), 12)
    assert near(image.getpixel((42, 26)), (255, 255, 255), 12)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 32_768, 65_535]], dtype=np.uint16)
    for form in ("PNG", "TIFF"):
        image = open_picture(encoded(Image.fromarray(values), form), "it")
        assert [image.getpixel((x, 0)) for x in range(3)] == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


def test_a_dark_sixteen_bit_picture_stays_dark() -> None:
    assert pixel(encoded(Image.fromarray(np.full((2, 2), 200, dtype=np.uint16)), "PNG")) == (1, 1, 1)


@pytest.mark.parametrize(("white", "kind"), [(1.0, np.float32), (255, np.float32), (65_535, np.int32), (70_000, np.int32)])
def test_floats_and_long_integers_are_scaled_to_their_white(white: float, kind: type) -> None:
    image = to_rgb(Image.fromarray(np.array([[0, white / 2, white]], dtype=kind)))
    levels = [image.getpixel((x, 0))[0] for x in range(3)]
    assert levels[0] == 0
    assert levels[1] in (127, 128)
    assert levels[2] == 255


def test_cmyk_of_adobe_programs_is_not_inverted() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    data = encoded(red, "JPEG", quality=95)  # Pillow writes CMYK as Adobe does: inverted, with its marker
    assert b"Adobe" in data
    assert near(pixel(data, (8, 8)), (255, 0, 0), 8)


def test_a_tall_picture_lies_on_white_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (11, 5, 4), dtype=np.uint8)
    whole = Image.fromarray(values)
    at_once = np.asarray(to_rgb(whole))
    monkeypatch.setattr(pictures, "_STRIP", 3)
    assert (np.asarray(to_rgb(whole)) == at_once).all()


def test_transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert pixel(encoded(clear, "PNG")) == (255, 255, 255)
    assert near(pixel(encoded(half, "PNG")), (127, 127, 127))
    assert pixel(encoded(Image.new("LA", (4, 4), (10, 0)), "PNG")) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    assert pixel(encoded(palette, "PNG")) == (200, 0, 0)
    assert pixel(encoded(palette, "PNG", transparency=1)) == (255, 255, 255)
    assert pixel(encoded(palette, "GIF", transparency=1)) == (255, 255, 255)
    assert pixel(encoded(Image.new("RGB", (4, 4), (9, 9, 9)), "PNG", transparency=(9, 9, 9))) == (255, 255, 255)
    for mode in ("La", "RGBa"):
        assert to_rgb(clear.convert("LA").convert(mode) if mode == "La" else clear.convert(mode)).getpixel((0, 0)) == (255, 255, 255)


def test_black_and_white_and_grey_become_rgb() -> None:
    assert pixel(encoded(Image.new("1", (4, 4), 1), "PNG")) == (255, 255, 255)
    assert pixel(encoded(Image.new("L", (4, 4), 77), "PNG")) == (77, 77, 77)


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if form == "WEBP" else {}
        assert pixel(encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)) == (255, 0, 0)


def test_an_opened_picture_is_not_changed() -> None:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    to_rgb(image)
    assert image.mode == "RGBA"
    assert image.getpixel((0, 0)) == (10, 20, 30, 0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html><html><body>not found</body></html>", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "LFS"),
        (b"%PDF-1.4", "PDF"),
        (b'{"error": 404}', "JSON"),
        (b"just some words", "not a picture"),
        (b"\xff\xd8\xff\xe0\x00", "cut short"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
    ],
)
def test_what_is_no_picture_is_named_for_what_it_is(data: bytes, said: str) -> None:
    for read in (open_picture, picture_header):
        with pytest.raises(InputError, match=said) as caught:
            read(data, "cat.jpg")
        assert caught.value.where == "cat.jpg"
        assert caught.value.hint


def test_a_picture_that_is_cut_short_is_refused_when_it_is_opened() -> None:
    data = encoded(Image.effect_noise((64, 64), 50), "JPEG")[:-300]
    assert picture_header(data, "cut.jpg").size == (64, 64)
    with pytest.raises(InputError, match="cut short"):
        open_picture(data, "cut.jpg")


def test_a_bomb_is_refused_by_its_header() -> None:
    for width, height in ((20_000, 15_000), (60_000, 60_000)):
        for read in (open_picture, picture_header):
            with pytest.raises(InputError, match="megapixels"):
                read(bomb(width, height), "bomb.png")


def test_a_picture_of_the_largest_cameras_passes_without_a_warning() -> None:
    assert MAX_PIXELS >= 16_320 * 12_240
    assert picture_header(bomb(16_320, 12_240), "large.png").size == (16_320, 12_240)


def test_pillows_settings_are_as_before_whatever_many_threads_do() -> None:
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    data = bomb(12_000, 9_000)
    threads = [threading.Thread(target=lambda: [picture_header(data, "it") for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters


_WHOLE = {form: encoded(Image.effect_noise((24, 16), 50).convert("RGB"), form) for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")}


@given(form=st.sampled_from(sorted(_WHOLE)), cut=st.floats(0, 1), at=st.floats(0, 1), byte=st.integers(0, 255))
def test_damaged_bytes_give_a_picture_or_an_input_error_and_nothing_else(form: str, cut: float, at: float, byte: int) -> None:
    data = bytearray(_WHOLE[form])
    data[int(at * (len(data) - 1))] = byte
    damaged = bytes(data[: max(1, int(cut * len(data)))])
    assert outcome(open_picture, damaged) in ("RGB", "refused")
    assert outcome(picture_header, damaged) in ("size", "refused")


@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_picture_or_an_input_error(data: bytes) -> None:
    assert outcome(open_picture, data) in ("RGB", "refused")


def outcome(read: Callable[[bytes, str], Any], data: bytes) -> str:
    try:
        found = read(data, "it")
    except InputError as error:
        return "refused" if error.where == "it" and error.message else "refused without a reason"
    return "size" if isinstance(found, Header) else found.mode
