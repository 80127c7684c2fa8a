"""examples/food is what its README says: captions that agree with the pictures, splits that hold out combinations."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
from collections import Counter
from pathlib import Path

import food_grammar
import make_food
import pytest
import score_food
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

FOOD = Path(make_food.__file__).parent / "food"
TRUTH = [json.loads(line) for line in (FOOD / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
CONTENTS = st.lists(st.sampled_from(food_grammar.KINDS), min_size=1, max_size=3, unique=True).flatmap(
    lambda kinds: st.fixed_dictionaries(dict.fromkeys(kinds, st.integers(1, 3)))
)
LOOKS = st.sampled_from([(surface, colour) for surface, colours in food_grammar.SURFACES.items() for colour in colours])


def shown(still_life):
    return (tuple(sorted(still_life["foods"].items())), still_life["surface"], still_life["colour"])


def test_every_caption_says_what_lies_in_its_picture():
    truth = {still_life["file_name"]: still_life for still_life in TRUTH}
    with (FOOD / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert set(Counter(row["file_name"] for row in rows).values()) == {5}
    assert {row["file_name"] for row in rows} == set(truth)
    for row in rows:
        assert food_grammar.parse_caption(row["text"]) == truth[row["file_name"]]["foods"]
        assert row["split"] == truth[row["file_name"]]["split"]


@given(foods=CONTENTS, look=LOOKS, seed=st.integers(0, 10_000))
def test_captions_are_five_different_sentences_with_articles_and_plurals_right(foods, look, seed):
    said = food_grammar.captions(foods, *look, random.Random(seed))

    assert len(set(said)) == 5
    for caption in said:
        assert food_grammar.parse_caption(caption) == foods
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", caption)
        assert re.search(r"\bthere (is|are)\b", caption) is None or ("there is a" in caption) == (foods[min(foods, key=food_grammar.KINDS.index)] == 1)


@pytest.mark.parametrize("caption", ["", "a dog on a plate", "two apple on a plate", "an apple and an apple on a table", "four apples on a plate", "a apple"])
def test_what_the_grammar_never_says_is_not_read_as_right(caption):
    assert food_grammar.parse_caption(caption) is None


def test_no_held_out_picture_shows_what_a_picture_of_train_shows():
    train = {shown(still_life) for still_life in TRUTH if still_life["split"] == "train"}
    contents = {foods for foods, _, _ in train}
    held_out = [still_life for still_life in TRUTH if still_life["split"] != "train"]

    assert len({shown(still_life) for still_life in held_out}) == len(held_out)
    assert train.isdisjoint(map(shown, held_out))
    assert all((shown(still_life)[0] in contents) == still_life["familiar"] for still_life in held_out)
    assert {kind for still_life in held_out for kind in still_life["foods"]} <= {kind for foods in contents for kind, _ in foods}


def test_the_dataset_is_small_and_the_one_that_the_script_plans():
    assert sum(path.stat().st_size for path in FOOD.rglob("*")) < 3_000_000
    assert [vars(still_life) for still_life in make_food.plan()] == TRUTH
    assert Counter(still_life["split"] for still_life in TRUTH) == {"train": 296, "val": 30, "test": 52}


def test_drawing_is_the_same_each_time():
    piece = Image.new("RGBA", (60, 60), (200, 30, 30, 255))
    first, again = (make_food.draw_still_life([piece, piece], "plate", "blue", random.Random("one")) for _ in range(2))

    assert hashlib.sha256(first.tobytes()).digest() == hashlib.sha256(again.tobytes()).digest()
    assert first.size == (224, 224)


def test_scores_count_kinds_and_numbers_apart():
    truth = {"a.jpg": {"split": "test", "familiar": True, "foods": {"apple": 2}}}
    captions = ["two apples on a plate", "an apple on a plate", "a banana on a plate"]
    judged = score_food.score([{"image": "some/a.jpg", "caption": caption} for caption in captions], truth)

    assert judged == {("test", True): [(True, True), (True, False), (False, False)]}
