"""What a captioner has to beat."""

import numpy as np

from clipcap_cli.evaluation.baselines import human_captions, most_frequent, nearest_consensus, random_captions

GENERATOR = np.random.default_rng(3)


def test_the_commonest_caption_is_found_whatever_its_punctuation():
    assert most_frequent(["a dog", "A cat.", "a cat", "a bird"], 3) == ["A cat."] * 3


def test_random_captions_are_training_captions_and_the_same_each_time():
    training = [f"caption {number}" for number in range(50)]
    drawn = random_captions(training, 20)
    assert drawn == random_captions(training, 20) != random_captions(training, 20, seed=1)
    assert set(drawn) <= set(training)


def test_a_person_is_scored_against_the_other_people():
    references = [("a", "b", "c"), ("d", "e")]
    for (candidate, others), captions in zip(human_captions(references), references, strict=True):
        assert sorted([candidate, *others]) == list(captions)


def test_neighbours_say_what_most_of_them_say():
    """Two kinds of pictures that lie apart; of each kind, one caption is said in many ways, others are odd."""
    kinds = np.repeat([0, 1], 20)
    vectors = np.eye(2)[kinds] * 5 + GENERATOR.normal(0, 0.1, (40, 2))
    said = (("a red square on a table", "a square that is red on a table"), ("two blue circles in the snow", "two circles in the snow"))
    training = [(f"word{number} only here {number}", said[kind][number % 2]) for number, kind in enumerate(kinds)]

    captions, neighbours = nearest_consensus(np.array([[5.0, 0.1], [0.0, 4.8]], np.float32), vectors.astype(np.float32), training)
    assert captions[0] in said[0]
    assert captions[1] in said[1]
    assert neighbours > 1


def test_where_only_the_very_nearest_picture_knows_only_that_one_is_asked():
    vectors = np.eye(30, dtype=np.float32)
    vectors = np.concatenate([vectors, vectors + GENERATOR.normal(0, 0.01, vectors.shape).astype(np.float32)])
    training = [(f"thing number{number % 30} alone here", f"here alone number{number % 30}") for number in range(60)]
    captions, neighbours = nearest_consensus(vectors[:3], vectors, training)
    assert neighbours == 1
    assert [caption.split()[-1] if "here alone" in caption else caption.split()[1] for caption in captions] == ["number0", "number1", "number2"]


def test_two_training_pictures_are_enough():
    captions, _ = nearest_consensus(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), [("a dog",), ("a cat",)])
    assert captions == ["a dog", "a cat"]
