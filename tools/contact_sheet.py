"""Make a contact sheet: pictures in rows and columns, their captions under them.

    clipcap caption examples/food/images/*.jpg --format jsonl > captions.jsonl
    python tools/contact_sheet.py captions.jsonl sheet.jpg --columns 4 --rows 3

In: lines {"image": path, "caption": text}; `source` or `file` for the picture and `text` for the caption are understood too, other keys are left alone.
Out: one PNG or JPEG, by its ending.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

IMAGE_KEYS = ("image", "source", "file")
CAPTION_KEYS = ("caption", "text")
PICTURE_SIDE = 240
GAP = 20
TEXT_SIZE = 16
TEXT_GAP = 10
LINE_HEIGHT = 22
MOST_LINES = 4
CORNER = 10
# Edges are smoothed by drawing the rounded mask this many times larger.
SMOOTHING = 4
PAPER = (255, 255, 255)
INK = (45, 45, 50)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def read_lines(path: Path) -> list[tuple[Path, str]]:
    """Read pictures and captions.

    Raises:
        ValueError: a line has no picture or no caption; it names file and line.
    """
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            row = json.loads(line)
            pairs.append((Path(_value(row, IMAGE_KEYS, f"{path}:{number}")), _value(row, CAPTION_KEYS, f"{path}:{number}")))
    return pairs


def contact_sheet(pairs: list[tuple[Path, str]], columns: int) -> Image.Image:
    """Lay pictures out with their captions under them.

    Args:
        pairs: path of a picture and its caption.
        columns: pictures in a row.

    Returns:
        RGB picture; every row is as high as its longest caption needs.
    """
    font = ImageFont.load_default(size=TEXT_SIZE)
    captions = [_wrap(caption, font, PICTURE_SIDE) for _, caption in pairs]
    rows = [range(start, min(start + columns, len(pairs))) for start in range(0, len(pairs), columns)]
    heights = [PICTURE_SIDE + TEXT_GAP + LINE_HEIGHT * max(len(captions[place]) for place in row) for row in rows]
    sheet = Image.new("RGB", (GAP + min(columns, len(pairs)) * (PICTURE_SIDE + GAP), GAP + sum(height + GAP for height in heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    mask = _rounded_mask()
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, place in enumerate(row):
            left = GAP + column * (PICTURE_SIDE + GAP)
            with Image.open(pairs[place][0]) as picture:
                thumbnail = ImageOps.fit(ImageOps.exif_transpose(picture).convert("RGB"), (PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
            sheet.paste(thumbnail, (left, top), mask)
            for number, text in enumerate(captions[place]):
                draw.text((left, top + PICTURE_SIDE + TEXT_GAP + number * LINE_HEIGHT), text, fill=INK, font=font)
        top += height + GAP
    return sheet


def _wrap(caption: str, font: Font, width: int) -> list[str]:
    """Break a caption between words so that no line is wider than `width` pixels, as far as its words allow; what is too long ends in an ellipsis."""
    lines: list[str] = []
    for word in caption.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1]} …"]
    return lines or [""]


def _rounded_mask() -> Image.Image:
    side = PICTURE_SIDE * SMOOTHING
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), radius=CORNER * SMOOTHING, fill=255)
    return mask.resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)


def _value(row: dict[str, Any], keys: tuple[str, ...], where: str) -> str:
    for key in keys:
        if isinstance(row.get(key), str):
            return str(row[key])
    raise ValueError(f"{where} has none of the keys {', '.join(keys)}: it has {', '.join(row)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a contact sheet of pictures with their captions under them.")
    parser.add_argument("captions", type=Path, help='lines {"image": path, "caption": text}')
    parser.add_argument("output", type=Path, help="a .png or .jpg to write")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--rows", type=int, default=3)
    arguments = parser.parse_args()
    pairs = read_lines(arguments.captions)[: arguments.columns * arguments.rows]
    if not pairs:
        parser.error(f"{arguments.captions} has no lines")
    contact_sheet(pairs, arguments.columns).save(arguments.output, quality=88)


if __name__ == "__main__":
    main()
