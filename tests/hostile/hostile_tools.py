"""What the tests of hostile input share: the stage, and makers of files that nobody honest would write."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from said import Said

SLOWEST_S = 10.0  # for one command: the processor may have other work
COLOURS = ("red", "green", "blue", "yellow", "white", "black")

# A module that leaves a file behind when anybody imports it.
CANARY = "import os, pathlib\npathlib.Path(os.environ['CLIPCAP_CANARY']).write_text('a stranger was here')\n"


@dataclass(frozen=True)
class Stage:
    """A store that may be damaged, a folder to work in, a folder that must stay as it is, honest pictures, and the command."""

    home: Path
    work: Path
    outside: Path
    pictures: Path
    clipcap: Callable[..., Said]

    def run(self, *line: object) -> Said:
        """A command line, which ends soon."""
        started = time.monotonic()
        said = self.clipcap(*line)
        assert time.monotonic() - started < SLOWEST_S, "it took too long"
        return said

    def refuses(self, *line: object, codes: tuple[int, ...] = (3, 6)) -> Said:
        """A command line that ends with one message to people."""
        said = self.run(*line)
        assert said.code in codes, (said.code, said.err[-2000:])
        assert said.err.count("Error:") == 1, said.err
        assert "Traceback" not in said.err
        assert len(said.err) < 15_000, "the message has no end"
        return said

    def survives(self, *line: object) -> Said:
        """A command line that may do its work, or refuse it: both without a bug."""
        said = self.run(*line)
        assert said.code in (0, 3, 4, 5, 6), (said.code, said.err[-2000:])
        assert "Traceback" not in said.err
        return said


def contents(folder: Path) -> dict[str, str]:
    """What lies in a folder: the hash of each file."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def make_pictures(folder: Path) -> None:
    """Six pictures of one colour with a caption each, in two splits."""
    for number, colour in enumerate(COLOURS):
        place = folder / ("val" if number % 3 == 2 else "train")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 16), colour).save(place / f"{colour}.png")
        (place / f"{colour}.txt").write_text(f"a {colour} picture\n")


def replace(path: Path, data: bytes) -> Path:
    """Another file in the place of one, which may be shared with other stores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


def sparse(path: Path, size: int = 10 * 2**30, start: bytes = b"", end: bytes = b"") -> Path:
    """A file that is large and takes no room."""
    replace(path, start)
    os.truncate(path, size)
    if end:
        with path.open("ab") as stream:
            stream.write(end)
    return path


def safetensors(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A file whose header says whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, before: bytes = b"", data: bytes | None = None) -> bytes:
    """A PNG that says it has this size; `before` are chunks in front of its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(bytes(1000)) if data is None else data) + chunk(b"IEND", b"")


def make_zip(files: dict[str, bytes], grow: str = "") -> bytes:
    """A zip whose files are stored; that of the name `grow` goes on with 400 MB of zeros, and is compressed."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files.items():
            if name != grow:
                archive.writestr(name, data, zipfile.ZIP_STORED)
                continue
            with archive.open(name, "w") as stream:
                stream.write(data)
                for _ in range(25):
                    stream.write(bytes(2**24))
    return made.getvalue()
