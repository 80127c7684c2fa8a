"""Make `examples/food`: small still lifes with five captions each, from the food pictures of Noto Emoji.

    python examples/make_food.py EMOJI_FOLDER OUTPUT

EMOJI_FOLDER has png/emoji_uCODE.png (Noto Emoji, 128 pixels). OUTPUT gets images/, metadata.csv (file_name, text, split; a row a caption) and truth.jsonl
(what lies where). Seeded: the same folder gives the same dataset.

The splits hold out combinations. What a picture of val or test shows, its foods with their numbers on its surface, no picture of train shows and no other
held-out one. Most held-out pictures are *familiar*: their foods in their numbers are in train too, on another surface. The others are *new*: their foods in
their numbers are in no picture of train at all, which is much harder.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from food_drawing import draw_still_life, load_food
from food_grammar import FOODS, KINDS, MOST_OF_A_KIND, SURFACES, captions

SEED = 2026
JPEG_QUALITY = 75
MOST_PIECES = 3
# In how many pictures of train the same foods in the same numbers are, each time on another surface: alone, two kinds, three kinds.
SHOWN_IN_TRAIN = {1: (2,), 2: (2, 3), 3: (1, 2)}
# Held-out pictures of one, two and three kinds.
FAMILIAR = {"val": {1: 3, 2: 14, 3: 5}, "test": {1: 6, 2: 25, 3: 9}}
NEW = {"val": {2: 6, 3: 2}, "test": {2: 9, 3: 3}}

Foods = dict[str, int]
Look = tuple[str, str]


@dataclass(frozen=True)
class StillLife:
    """What lies where: one line of truth.jsonl."""

    file_name: str
    split: str
    foods: dict[str, int]
    surface: str
    colour: str
    familiar: bool


def plan(seed: int = SEED) -> list[StillLife]:
    """Decide what lies in every picture, without drawing any."""
    rng = random.Random(seed)
    looks = [(surface, colour) for surface, colours in SURFACES.items() for colour in colours]
    shown: list[tuple[str, Foods, Look, bool]] = []
    for count, numbers_shown in SHOWN_IN_TRAIN.items():
        pool = _combinations(count, rng)
        for split, counts in NEW.items():
            shown += [(split, pool.pop(), rng.choice(looks), False) for _ in range(counts.get(count, 0))]
        held_out = [split for split, counts in FAMILIAR.items() for _ in range(counts[count])]
        for place, foods in enumerate(pool):
            own_looks = rng.sample(looks, len(looks))
            shown += [("train", foods, own_looks.pop(), True) for _ in range(numbers_shown[place % len(numbers_shown)])]
            if place < len(held_out):
                shown.append((held_out[place], foods, own_looks.pop(), True))
    rng.shuffle(shown)
    return [StillLife(f"images/food-{number:03}.jpg", split, foods, *look, familiar) for number, (split, foods, look, familiar) in enumerate(shown, start=1)]


def make_dataset(emoji_folder: Path, output: Path, still_lifes: list[StillLife]) -> None:
    """Draw and describe still lifes.

    Args:
        emoji_folder: has png/emoji_uCODE.png.
        output: the folder that gets images/, metadata.csv and truth.jsonl.
        still_lifes: from `plan`.
    """
    pictures = {food.kind: load_food(emoji_folder, food.emoji) for food in FOODS}
    (output / "images").mkdir(parents=True, exist_ok=True)
    for still_life in still_lifes:
        pieces = [pictures[kind] for kind, number in still_life.foods.items() for _ in range(number)]
        drawing = draw_still_life(pieces, still_life.surface, still_life.colour, random.Random(f"{SEED} drawing {still_life.file_name}"))
        drawing.save(output / still_life.file_name, quality=JPEG_QUALITY, optimize=True)
    with (output / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file_name", "text", "split"])
        writer.writerows([still_life.file_name, text, still_life.split] for still_life in still_lifes for text in texts(still_life))
    with (output / "truth.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(vars(still_life)) + "\n" for still_life in still_lifes)


def texts(still_life: StillLife) -> tuple[str, ...]:
    """The five captions of a still life."""
    rng = random.Random(f"{SEED} captions {still_life.file_name}")
    return captions(still_life.foods, still_life.surface, still_life.colour, rng)


def _combinations(count: int, rng: random.Random) -> list[Foods]:
    """Every way to lay `count` kinds of food with at most MOST_PIECES pieces in all, in any order."""
    ways = [
        dict(zip(kinds, numbers, strict=True))
        for kinds in itertools.combinations(KINDS, count)
        for numbers in itertools.product(range(1, MOST_OF_A_KIND + 1), repeat=count)
        if sum(numbers) <= MOST_PIECES
    ]
    return rng.sample(ways, len(ways))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the example dataset of small still lifes from the food pictures of Noto Emoji.")
    parser.add_argument("emoji_folder", type=Path, help="has png/emoji_uCODE.png")
    parser.add_argument("output", type=Path, help="the folder to write to")
    arguments = parser.parse_args()
    still_lifes = plan()
    make_dataset(arguments.emoji_folder, arguments.output, still_lifes)
    by_split = Counter(still_life.split for still_life in still_lifes)
    print(f"{arguments.output}: {len(still_lifes)} pictures, {', '.join(f'{count} {split}' for split, count in by_split.items())}")


if __name__ == "__main__":
    main()
