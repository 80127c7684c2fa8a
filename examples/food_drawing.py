"""Draws one still life: foods on a plate, a table or a board, lit from the upper left.

Everything is drawn at twice the size and made smaller at the end, which smooths the edges. All chance comes from the `rng` handed in.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

SIDE = 224
SCALE = 2
CANVAS = SIDE * SCALE
# The side of a square as large as the box around a food, in canvas pixels. It hardly varies, so that three of a kind look like more than two.
FOOD_SIDE = 185
LONGEST_SIDE = 222
SIZE_SPREAD = 0.05
TILT = 10.0

Colour = tuple[int, int, int]
PAINT: dict[str, Colour] = {
    "white": (248, 247, 243),
    "blue": (178, 206, 238),
    "green": (196, 224, 190),
    "pink": (248, 208, 218),
    "wooden": (224, 192, 150),
}
# What a plate or a board stands on.
CLOTH: Colour = (232, 226, 216)
# The grain of wood is the same in every picture: it is not what the captions are about.
GRAIN_SEED = 3


def load_food(emoji_folder: Path, code_point: str) -> Image.Image:
    """Read a food's picture, cut to what is visible, at the size it has in a still life.

    Args:
        emoji_folder: has png/emoji_uCODE.png.
        code_point: such as "1f34e".

    Returns:
        RGBA picture.
    """
    with Image.open(emoji_folder / "png" / f"emoji_u{code_point}.png") as file:
        picture = file.convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    zoom = min(FOOD_SIDE / math.sqrt(picture.width * picture.height), LONGEST_SIDE / max(picture.size))
    return picture.resize((round(picture.width * zoom), round(picture.height * zoom)), Image.Resampling.LANCZOS)


def draw_still_life(foods: list[Image.Image], surface: str, colour: str, rng: random.Random) -> Image.Image:
    """Lay foods on a surface.

    Args:
        foods: RGBA pictures, one for each piece.
        surface: "plate", "table" or "board".
        colour: a key of `PAINT`.

    Returns:
        RGB picture of SIDE x SIDE pixels.
    """
    draw_surface = {"plate": _draw_plate, "table": _draw_table, "board": _draw_board}[surface]
    scene, reach_x, reach_y = draw_surface(PAINT[colour], wooden=colour == "wooden")
    # Those nearer to the viewer are drawn later.
    places = sorted(_places(len(foods), reach_x, reach_y, round_area=surface == "plate", rng=rng), key=lambda place: place[1])
    for food, (x, y) in zip(rng.sample(foods, len(foods)), places, strict=True):
        zoom = 1 + rng.uniform(-SIZE_SPREAD, SIZE_SPREAD)
        piece = food.resize((round(food.width * zoom), round(food.height * zoom)), Image.Resampling.LANCZOS)
        piece = piece.rotate(rng.uniform(-TILT, TILT), Image.Resampling.BICUBIC, expand=True)
        corner = (round(x - piece.width / 2), round(y - piece.height / 2))
        _drop_shadow(scene, piece.getchannel("A"), (corner[0] + 5, corner[1] + 9), blur=8, strength=0.42)
        scene.paste(piece, corner, piece)
    return ImageChops.multiply(scene, _light()).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _places(count: int, reach_x: float, reach_y: float, *, round_area: bool, rng: random.Random) -> list[tuple[float, float]]:
    """Centres of `count` foods around the middle, as far from each other as a number of random tries gives."""
    middle = CANVAS / 2
    # A few foods lie together rather than at the rim; many need all the room.
    closeness = {1: 0.35, 2: 0.75, 3: 0.85, 4: 0.95}.get(count, 1.0)
    best: list[tuple[float, float]] = []
    best_gap = -1.0
    for _ in range(1500):
        places: list[tuple[float, float]] = []
        while len(places) < count:
            x, y = rng.uniform(-1, 1), rng.uniform(-1, 1)
            if not round_area or math.hypot(x, y) <= 1:
                places.append((middle + x * reach_x * closeness, middle + y * reach_y * closeness))
        gap = min((math.dist(a, b) for i, a in enumerate(places) for b in places[:i]), default=0.0)
        if gap > best_gap:
            best, best_gap = places, gap
        if best_gap >= FOOD_SIDE * 1.02:
            break
    return best


def _draw_plate(paint: Colour, *, wooden: bool) -> tuple[Image.Image, float, float]:
    scene = _cloth()
    radius = 216
    disc = _ellipse(radius)
    corner = (CANVAS // 2 - radius, CANVAS // 2 - radius)
    _drop_shadow(scene, disc, (corner[0] + 6, corner[1] + 12), blur=14, strength=0.4)
    scene.paste(paint, corner, disc)
    # Rim, edge of the well, and the well itself.
    for inset, factor in ((4, 1.05), (36, 0.9), (41, 1.02)):
        scene.paste(_shade(paint, factor), (corner[0] + inset, corner[1] + inset), _ellipse(radius - inset))
    return scene, 136, 136


def _draw_table(paint: Colour, *, wooden: bool) -> tuple[Image.Image, float, float]:
    scene = Image.new("RGB", (CANVAS, CANVAS), paint)
    _draw_grain(scene, (0, 0, CANVAS, CANVAS), paint) if wooden else _draw_weave(scene, paint)
    return scene, 146, 142


def _draw_board(paint: Colour, *, wooden: bool) -> tuple[Image.Image, float, float]:
    scene = _cloth()
    box = (14, 34, CANVAS - 14, CANVAS - 34)
    shape = Image.new("L", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(shape)
    draw.rounded_rectangle(box, radius=40, fill=255)
    hole = (CANVAS - 62, CANVAS // 2 - 15, CANVAS - 32, CANVAS // 2 + 15)
    draw.ellipse(hole, fill=0)
    _drop_shadow(scene, shape, (5, 12), blur=12, strength=0.42)
    # The edge shows below the top.
    scene.paste(_shade(paint, 0.78), (0, 7), shape)
    top = Image.new("RGB", (CANVAS, CANVAS), paint)
    if wooden:
        _draw_grain(top, box, paint)
    scene.paste(top, (0, 0), shape)
    return scene, 140, 112


def _cloth() -> Image.Image:
    return Image.new("RGB", (CANVAS, CANVAS), CLOTH)


def _draw_grain(picture: Image.Image, box: tuple[int, int, int, int], paint: Colour) -> None:
    rng = random.Random(GRAIN_SEED)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = box
    plank = (bottom - top) // 4
    for y in range(top, bottom + plank, plank):
        draw.rectangle((left, y, right, y + plank), fill=_shade(paint, rng.uniform(0.95, 1.05)))
        for _ in range(3):
            line = y + rng.uniform(8, plank - 8)
            bend, phase = rng.uniform(1, 4), rng.uniform(0, 6)
            points = [(x, line + bend * math.sin(x / 90 + phase)) for x in range(left, right + 1, 16)]
            draw.line(points, fill=_shade(paint, 0.9), width=2)
        draw.line((left, y, right, y), fill=_shade(paint, 0.76), width=3)


def _draw_weave(picture: Image.Image, paint: Colour) -> None:
    draw = ImageDraw.Draw(picture)
    for offset in range(0, CANVAS, 56):
        draw.rectangle((offset, 0, offset + 2, CANVAS), fill=_shade(paint, 0.95))
        draw.rectangle((0, offset, CANVAS, offset + 2), fill=_shade(paint, 0.95))


def _light() -> Image.Image:
    """A soft fall of light: full in the upper left, a little darker towards the lower right."""
    distance = Image.radial_gradient("L").resize((CANVAS * 2, CANVAS * 2)).crop((CANVAS * 2 // 5, CANVAS * 2 // 5, CANVAS * 7 // 5, CANVAS * 7 // 5))
    return Image.merge("RGB", [distance.point(lambda value: 255 - max(0, value - 60) // 4)] * 3)


def _ellipse(radius: int) -> Image.Image:
    mask = Image.new("L", (radius * 2, radius * 2))
    ImageDraw.Draw(mask).ellipse((0, 0, radius * 2 - 1, radius * 2 - 1), fill=255)
    return mask


def _drop_shadow(scene: Image.Image, shape: Image.Image, corner: tuple[int, int], *, blur: int, strength: float) -> None:
    margin = blur * 3
    shadow = Image.new("L", (shape.width + 2 * margin, shape.height + 2 * margin))
    shadow.paste(shape.point(lambda value: round(value * strength)), (margin, margin))
    shadow = shadow.filter(ImageFilter.GaussianBlur(blur))
    scene.paste((44, 34, 30), (corner[0] - margin, corner[1] - margin), shadow)


def _shade(paint: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(part * factor)) for part in paint)
    return red, green, blue
