"""What captions are like without references."""

import pytest

from clipcap_cli.evaluation.language import describe


def test_lengths_and_variety_are_counted_in_words_without_punctuation():
    found = describe(["A red square.", "a red square", "Two blue circles, side by side!"])

    assert (found.captions, found.shortest, found.longest, found.mean_words) == (3, 3, 6, 4.0)
    assert (found.vocabulary, found.distinct_captions) == (8, 2)
    assert found.distinct_1 == pytest.approx(8 / 12)
    assert found.distinct_2 == pytest.approx(7 / 9)
    assert found.most_frequent[0] == ("A red square.", 2)
    assert (found.seen_in_training, found.cut, found.empty, found.repetitive) == (None, None, 0, 0)


def test_what_was_learned_by_heart_is_found_whatever_its_punctuation():
    assert describe(["A red square.", "a green one"], training=["a red square", "a dog"]).seen_in_training == 0.5


def test_captions_that_were_cut_or_are_empty_or_repeat_themselves_are_counted():
    found = describe(["a dog dog", "on the on the mat", "the cat on the mat", "."], cut=[True, False, False, False])
    assert (found.cut, found.empty, found.repetitive) == (0.25, 0.25, 0.5)


def test_a_captioner_that_says_the_same_of_everything_is_called_collapsed():
    collapsed = describe(["a man in a hat"] * 30 + [f"a dog number {number}" for number in range(70)])
    assert collapsed.collapse == "30% of the pictures get the same caption, 'a man in a hat'"
    few = describe([f"caption {number % 15}" for number in range(100)])
    assert few.collapse == "100 pictures get only 15 different captions"
    assert describe([f"caption {number}" for number in range(100)]).collapse is None
    assert describe(["a man"] * 5).collapse is None  # too few to say
