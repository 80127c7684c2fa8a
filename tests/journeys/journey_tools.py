"""What the journeys share: a newcomer's pictures, and the real command."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

import clipcap_cli

ROOT = Path(clipcap_cli.__file__).resolve().parent.parent
COLOURS = ("red", "green", "blue", "yellow", "white")
# Samples while training are not what is tried here.
SHORT = ("decode.beams=2", "decode.max_tokens=8")
SHAPES = ("circle", "square")


@dataclass(frozen=True)
class Road:
    """What a newcomer has after two commands: pictures, a store with a dataset and a run, and what the commands said."""

    pictures: Path
    home: Path
    added: subprocess.CompletedProcess[str]
    trained: subprocess.CompletedProcess[str]


def run_command(home: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPCAP_HOME": str(home), "CLIPCAP_OFFLINE": "1"}
    line = [sys.executable, "-m", "clipcap_cli", *map(str, arguments)]
    return subprocess.run(line, env=environment, text=True, check=False, **{"capture_output": True, **options})  # type: ignore[call-overload, no-any-return]


def draw_pictures(folder: Path) -> None:
    """Ten pictures of one shape each, with a text file of two captions beside them."""
    folder.mkdir(parents=True)
    for colour in COLOURS:
        for shape in SHAPES:
            image = Image.new("RGB", (96, 64), "black")
            draw = ImageDraw.Draw(image)
            (draw.ellipse if shape == "circle" else draw.rectangle)((24, 8, 72, 56), fill=colour)
            image.save(folder / f"{colour} {shape}.jpg")
            (folder / f"{colour} {shape}.txt").write_text(f"a {colour} {shape}\na {shape} that is {colour}\n")


def contents(folder: Path) -> dict[str, str]:
    """What lies in a folder, but for logs and locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] not in ("logs", "locks"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
