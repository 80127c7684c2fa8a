from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from scenes import encoded, scene

from clipcap_cli.datasets.check import picture_checks
from clipcap_cli.datasets.check.facts import Facts, facts_of
from clipcap_cli.datasets.check.material import Material
from clipcap_cli.datasets.duplicates.thumbnails import LENGTH
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.storage.hashing import image_id_of

Make = Callable[..., Material]


def of_file(path: Path, data: bytes) -> Facts:
    path.write_bytes(data)
    return facts_of(str(path))


def test_the_facts_of_a_picture_are_those_of_its_bytes(tmp_path: Path) -> None:
    data = encoded(scene(1), quality=90)
    facts = of_file(tmp_path / "a.jpg", data)
    assert (facts.path, facts.size, facts.image_id) == (str(tmp_path / "a.jpg"), len(data), image_id_of(data))
    assert (facts.fault, facts.format, facts.animated, facts.turned, len(facts.thumbnail)) == ("", "JPEG", False, False, LENGTH)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_picture_that_is_cut_anywhere_behind_its_header_is_damaged(tmp_path: Path, form: str) -> None:
    data = encoded(scene(1, (320, 240)), form)
    whole = of_file(tmp_path / "a", data)
    assert (whole.fault, whole.format) == ("", form)
    for part in (0.3, 0.6, 0.9):
        facts = of_file(tmp_path / "a", data[: int(len(data) * part)])
        assert facts.fault in ("damaged", "no-picture"), (form, part)  # a TIFF has its header at its end
        assert facts.reason
        assert facts.thumbnail == b""


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "MPO"])
def test_no_spoilt_file_stops_a_check(tmp_path: Path, form: str) -> None:
    chance = random.Random(form)
    data = encoded(scene(1, (96, 64)), form)
    for _ in range(60):
        spoilt = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            spoilt[chance.randrange(len(data))] = chance.randrange(256)
        facts = of_file(tmp_path / "a", bytes(spoilt))
        assert bool(facts.fault) == bool(facts.reason) == (not facts.thumbnail)


def test_each_fault_of_a_file_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert facts_of(str(tmp_path / "folder")).fault == "unreadable"
    assert facts_of(str(tmp_path / "gone")).fault == "unreadable"
    assert (of_file(tmp_path / "empty", b"").fault, facts_of(str(tmp_path / "empty")).reason) == ("no-picture", "the file is empty")
    assert of_file(tmp_path / "page", b"<html>").reason == "this is a web page (HTML), not a picture"


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_pictures_with_several_frames_or_pages_are_animated(tmp_path: Path, form: str) -> None:
    assert of_file(tmp_path / "a", encoded(scene(1), form, save_all=True, append_images=[scene(2)])).animated
    assert not of_file(tmp_path / "a", encoded(scene(1), form)).animated


def test_the_maps_that_a_phone_puts_behind_a_photo_are_no_animation(tmp_path: Path) -> None:
    facts = of_file(tmp_path / "a.jpg", encoded(scene(1), "MPO", save_all=True, append_images=[scene(2)]))
    assert (facts.format, facts.animated) == ("MPO", False)


def test_a_jpeg_that_is_called_so_in_any_way_is_not_called_wrongly(tmp_path: Path, material: Make) -> None:
    data = {
        "a.JPG": encoded(scene(1)),
        "b.jpeg": encoded(scene(2)),
        "c.jfif": encoded(scene(3)),
        "phone.jpg": encoded(scene(4), "MPO"),
        "no-suffix": encoded(scene(5)),
    }
    data["false.webp"] = encoded(scene(6))
    facts = [of_file(tmp_path / name, content) for name, content in data.items()]
    pictures = [_picture(name, found) for name, found in zip(data, facts, strict=True)]
    finding = picture_checks.wrong_suffix(material(*pictures, facts=facts))
    assert finding is not None
    assert (finding.pictures, finding.examples) == (("false.webp",), ("false.webp: JPEG",))


def test_a_small_spot_or_a_faint_gradient_is_something_to_see(tmp_path: Path, material: Make) -> None:
    spot = Image.new("RGB", (400, 300), "white")
    spot.paste((200, 30, 30), (200, 150, 208, 158))
    gradient = Image.linear_gradient("L").point(lambda level: 120 + level // 20).convert("RGB")
    coloured = Image.merge("YCbCr", [Image.new("L", (256, 256), 100), Image.linear_gradient("L"), Image.new("L", (256, 256), 128)]).convert("RGB")
    black = Image.new("RGB", (50, 50))
    facts = [of_file(tmp_path / str(number), encoded(image, "PNG")) for number, image in enumerate((spot, gradient, coloured, black))]
    pictures = [_picture(Path(found.path).name, found) for found in facts]
    finding = picture_checks.blank(material(*pictures, facts=facts))
    assert finding is not None
    assert finding.pictures == ("3",)


def test_sides_and_sizes_at_the_limit_are_no_fault(material: Make) -> None:
    def sized(width: int, height: int, size: int = 1_000) -> Picture:
        return Picture("id", "/x", f"{width} x {height}, {size}", None, width, height, size, 0, ("a",))

    at_the_limit = material(sized(64, 64), sized(300, 100), sized(10_000, 5_000, 20_000_000))
    beyond = material(sized(63, 64), sized(301, 100), sized(100, 301), sized(10_001, 5_000), sized(900, 900, 20_000_001))
    for check in (picture_checks.tiny, picture_checks.huge, picture_checks.long_shape):
        assert check(at_the_limit) is None
    assert [getattr(check(beyond), "count") for check in (picture_checks.tiny, picture_checks.long_shape, picture_checks.huge)] == [1, 2, 2]  # noqa: B009


def test_pictures_without_a_file_are_told_and_not_called_tiny(material: Make, told: Callable[..., Picture]) -> None:
    findings = [finding for check in picture_checks.CHECKS if (finding := check(material(told("a", "A dog."))))]
    assert [(finding.kind, finding.severity, finding.pictures) for finding in findings] == [("no-file", "info", ("a",))]


def _picture(name: str, facts: Facts) -> Picture:
    return Picture(facts.image_id, facts.path, name, None, 100, 100, facts.size, facts.mtime_ns, ("a",))
