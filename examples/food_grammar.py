"""The language of `examples/food`: captions from what lies on the table, and what lies on the table from a caption.

`captions` says a still life in five ways, each naming every food with its number. `parse_caption` reads foods and numbers back, also out of a caption
that a model wrote: only words and phrases of this grammar are understood, so a caption that names a dog, or "two apple", is not read as right by accident.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

NUMBER_WORDS = {2: "two", 3: "three"}
MOST_OF_A_KIND = 3


@dataclass(frozen=True)
class Food:
    """A kind of food: how it is called in truth.jsonl, alone, several of it, and the code point of its picture in Noto Emoji."""

    kind: str
    one: str
    many: str
    emoji: str


# Their colours and shapes were chosen to be told apart easily.
FOODS = (
    Food("apple", "apple", "apples", "1f34e"),
    Food("hamburger", "hamburger", "hamburgers", "1f354"),
    Food("banana", "banana", "bananas", "1f34c"),
    Food("cupcake", "cupcake", "cupcakes", "1f9c1"),
    Food("broccoli", "head of broccoli", "heads of broccoli", "1f966"),
    Food("pretzel", "pretzel", "pretzels", "1f968"),
    Food("pizza", "slice of pizza", "slices of pizza", "1f355"),
    Food("pineapple", "pineapple", "pineapples", "1f34d"),
)
KINDS = tuple(food.kind for food in FOODS)
_FOOD = {food.kind: food for food in FOODS}

SURFACES = {
    "plate": ("white", "blue"),
    "table": ("wooden", "green"),
    "board": ("wooden",),
}

# {foods} "two apples and a banana", {is_are} agrees with the food named first. Every picture is said in all five ways, always with the food first: were the
# ways drawn by lot, the few pictures that share a way and its first words would be told apart by those words alone, and nobody would look at the picture.
TEMPLATES = (
    "{foods} on {a_coloured}",
    "{foods} arranged on {a_plain}",
    "there {is_are} {foods} on {a_coloured}",
    "a close up of {foods} on {a_plain}",
    "a picture of {foods} on {a_coloured}",
)


def captions(foods: dict[str, int], surface: str, colour: str, rng: random.Random) -> tuple[str, ...]:
    """Say one still life in five ways.

    Args:
        foods: kind to number (1 to 3), one to three kinds.
        surface: one of `SURFACES`.
        colour: one of the surface's colours.
        rng: where the choice of words comes from.

    Returns:
        Five different captions, lower case, without an end mark.
    """
    ordered = sorted(foods, key=KINDS.index)
    phrases = [phrase(kind, foods[kind]) for kind in ordered]
    return tuple(
        template.format(
            foods=enumeration(phrases),
            is_are="is" if foods[ordered[0]] == 1 else "are",
            a_coloured=with_article(f"{colour} {surface}"),
            a_plain=with_article(surface),
        )
        for template in rng.sample(TEMPLATES, len(TEMPLATES))
    )


def phrase(kind: str, number: int) -> str:
    """A number of one kind of food: "an apple", "two loaves of bread"."""
    food = _FOOD[kind]
    return with_article(food.one) if number == 1 else f"{NUMBER_WORDS[number]} {food.many}"


def with_article(noun: str) -> str:
    """The noun with "a" or "an"; for the words of this grammar the first letter decides."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def enumeration(phrases: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def parse_caption(text: str) -> dict[str, int] | None:
    """Read kinds and numbers of food back out of a caption.

    Args:
        text: a caption of this grammar or of a model; case, spacing and an end mark do not count.

    Returns:
        Kind to number, or None where the caption names no food, names one twice, or says something that this grammar never says
        (another food, a wrong plural or article, a number above three).
    """
    said = " ".join(text.lower().replace(",", " ").split()).removesuffix(".").rstrip()
    foods: dict[str, int] = {}

    def take(match: re.Match[str]) -> str:
        kind, number = _PHRASES[match.group()]
        # Named twice: no number is exact any more; 0 marks it.
        foods[kind] = 0 if kind in foods else number
        return "|"

    rest = _ANY_PHRASE.sub(take, said)
    understood = all(word in _OTHER_WORDS for word in rest.replace("|", " ").split())
    return foods if foods and understood and all(foods.values()) else None


def _other_words() -> frozenset[str]:
    frames = " ".join(TEMPLATES)
    colours = {colour for several in SURFACES.values() for colour in several}
    return frozenset(re.sub(r"{\w+}", "", frames).split()) | {"a", "an", "and", "is", "are", "next", "to"} | set(SURFACES) | colours


_OTHER_WORDS = _other_words()
_PHRASES = {phrase(food.kind, number): (food.kind, number) for food in FOODS for number in range(1, MOST_OF_A_KIND + 1)}
_PHRASES |= {f"one {food.one}": (food.kind, 1) for food in FOODS}
# Word boundaries keep "an egg" from being read in "an eggplant".
_ANY_PHRASE = re.compile(r"\b(?:" + "|".join(map(re.escape, _PHRASES)) + r")\b")
