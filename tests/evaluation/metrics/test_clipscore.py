"""CLIPScore, RefCLIPScore and retrieval are what the paper says."""

import numpy as np
import pytest

from clipcap_cli.evaluation.metrics.clipscore import clip_scores, retrieval

GENERATOR = np.random.default_rng(2)


def test_clipscore_is_2_5_times_the_cosine_and_never_negative():
    images = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    captions = np.array([[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    plain, _ = clip_scores(images, captions, images, np.arange(3))
    assert plain.per_image == pytest.approx([2.5, 2.5 * np.sqrt(0.5), 0.0])


def test_refclipscore_is_the_harmonic_mean_with_the_nearest_reference():
    images, captions = np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])
    references = np.array([[0.0, -1.0], [0.0, 1.0], [-1.0, 0.0]])
    plain, both = clip_scores(images, captions, references, np.zeros(3, int))

    score, nearest = 2.5 * np.sqrt(0.5), np.sqrt(0.5)
    assert plain.score == pytest.approx(score)
    assert both.score == pytest.approx(2 * score * nearest / (score + nearest))
    assert clip_scores(images, -captions, references[1:2], np.zeros(1, int))[1].score == 0


def test_a_caption_finds_its_picture_among_all_others():
    images = np.eye(12)
    captions = np.eye(12)
    captions[0] = np.eye(12)[1] + 0.5 * np.eye(12)[0]  # its own picture comes second
    captions[2] = np.eye(12)[3] - np.eye(12)[2]  # and here last
    scores = {metric.name: metric.score for metric in retrieval(images, captions)}
    assert scores == pytest.approx({"R@1": 10 / 12, "R@5": 11 / 12, "R@10": 11 / 12})


def test_captions_that_say_nothing_do_not_find_pictures_by_a_tie():
    images = GENERATOR.normal(size=(40, 8))
    images[:, 0] = 0
    captions = np.tile(np.eye(8)[0], (40, 1))
    assert [metric.score for metric in retrieval(images, captions)] == [0, 0, 0]


def test_the_same_picture_twice_does_not_hide_itself():
    images = np.concatenate([np.eye(4), np.eye(4)])
    assert [metric.score for metric in retrieval(images, images)] == [1, 1, 1]
