"""A score comes with what it might have been for other pictures."""

import numpy as np
import pytest

from clipcap_cli.evaluation.intervals import intervals, resampled
from clipcap_cli.evaluation.metrics.corpus import make_corpus
from clipcap_cli.evaluation.metrics.metric import mean_metric
from clipcap_cli.evaluation.metrics.overlap import overlap_metrics

GENERATOR = np.random.default_rng(0)


def corpus_metrics(pictures):
    texts = [" ".join(["a", "dog", *GENERATOR.choice(["runs", "sits", "on", "the", "grass"], 5)]) for _ in range(3 * pictures)]
    references = {str(number): texts[3 * number : 3 * number + 2] for number in range(pictures)}
    return overlap_metrics(make_corpus(references, {str(number): texts[3 * number + 2] for number in range(pictures)}))


def test_the_score_lies_inside_its_interval_and_more_pictures_make_it_narrower():
    few, many = corpus_metrics(30), corpus_metrics(480)
    for small, large, wide, narrow in zip(few, many, intervals(few), intervals(many), strict=True):
        assert wide.low < small.score < wide.high
        assert narrow.low < large.score < narrow.high
        assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_an_interval_of_a_mean_is_that_of_the_textbook():
    values = GENERATOR.normal(5, 2, 400)
    [interval] = intervals([mean_metric("x", values)], samples=4000)

    error = values.std(ddof=1) / 20
    assert (interval.low, interval.high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.03)


def test_the_same_seed_gives_the_same_interval_whatever_else_is_scored():
    metrics = corpus_metrics(40)
    assert intervals(metrics)[3] == intervals([metrics[3]])[0] == intervals(metrics)[3]
    assert intervals(metrics, seed=1)[3] != intervals(metrics)[3]


def test_a_sample_of_corpus_scores_is_scored_as_a_corpus():
    """BLEU of a sample is that of its pictures together, not a mean of theirs."""
    metrics = corpus_metrics(20)
    bleu = metrics[3]
    samples = resampled(metrics, samples=5, seed=3)
    drawn = np.random.default_rng(3).integers(0, 20, (5, 20))
    for sample, pictures in enumerate(drawn):
        assert samples[3][sample] == pytest.approx(float(bleu.of_sums(bleu.rows[pictures].sum(0))))


def test_one_picture_has_an_interval_of_no_width():
    [interval] = intervals([mean_metric("x", np.array([0.25]))])
    assert (interval.low, interval.high) == (0.25, 0.25)
