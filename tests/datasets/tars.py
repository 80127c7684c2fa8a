"""Tars as tests need them, honest and hostile."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image

Change = Callable[[tarfile.TarInfo], None]


def picture(what: int, form: str = "PNG") -> bytes:
    """A small picture, another one for each number."""
    stream = io.BytesIO()
    Image.new("RGB", (12, 8), (what % 256, what // 256 % 256, 7)).save(stream, form)
    return stream.getvalue()


def make_tar(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w", change: dict[str, Change] | None = None) -> Path:
    """Write a tar of these files; `change` may make some other things than files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            (change or {}).get(name, lambda _: None)(member)
            tar.addfile(member, io.BytesIO(data))
    return path


def becomes(kind: bytes, target: str = "") -> Change:
    """Make a member something else than a file."""

    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, target, 0

    return change


def samples(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    """Pictures with a caption each, as img2dataset writes them."""
    return [
        member for number in range(first, first + count) for member in ((f"{number:09}.png", picture(number)), (f"{number:09}.txt", f"thing {number}".encode()))
    ]


def mend_headers(data: bytearray) -> None:
    """Make the sums of all headers of a tar right again, so that what they say is believed."""
    for start in range(0, len(data) - 511, 512):
        if data[start + 257 : start + 262] == b"ustar":
            data[start + 148 : start + 156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % (sum(data[start : start + 512]) & 0o777777)
