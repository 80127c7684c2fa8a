"""Which differences between two captioners are real."""

import numpy as np
import pytest

from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.comparison import compare, most_changed
from clipcap_cli.evaluation.metrics.metric import mean_metric

GENERATOR = np.random.default_rng(1)
EASE = GENERATOR.normal(0, 1, 300)  # some pictures are easier than others, for everybody


def scores(shift=0.0, name="x"):
    return mean_metric(name, EASE + GENERATOR.normal(shift, 0.3, 300))


def test_a_difference_that_is_small_beside_how_pictures_differ_is_found_because_the_pictures_are_the_same():
    [difference] = compare([scores()], [scores(shift=0.12)], samples=2000)

    assert difference.is_real
    assert difference.p < 0.01
    assert 0 < difference.interval.low < difference.difference < difference.interval.high < 0.3
    assert EASE.std() / np.sqrt(300) * 1.96 > 0.1  # either score's own interval is as wide as the difference


def test_luck_is_not_called_a_difference():
    found = [compare([scores()], [scores()], samples=500, seed=seed)[0].is_real for seed in range(60)]
    assert sum(found) <= 8  # 5 % of 60 is 3


def test_who_looks_at_many_metrics_does_not_find_one_by_chance():
    by_chance = 0
    for seed in range(40):
        first, second = [scores(name=str(n)) for n in range(10)], [scores(name=str(n)) for n in range(10)]
        by_chance += any(difference.is_real for difference in compare(first, second, samples=1000, seed=seed))
    assert by_chance <= 7


def test_the_same_captions_differ_in_nothing():
    [difference] = compare([scores()] * 1, [mean_metric("x", EASE)] * 1, samples=200)
    same = scores()
    [nothing] = compare([same], [same], samples=200)
    assert (nothing.p, nothing.difference, nothing.is_real) == (1.0, 0.0, False)
    assert difference.first != difference.second


def test_swapping_the_two_turns_the_sign_and_nothing_else():
    one, other = scores(), scores(shift=0.1)
    [there], [back] = compare([one], [other], samples=1000), compare([other], [one], samples=1000)
    assert there.difference == pytest.approx(-back.difference)
    assert there.interval.low == pytest.approx(-back.interval.high)
    assert there.p == pytest.approx(back.p, abs=0.02)


def test_pictures_that_changed_most_come_first_and_equal_ones_not_at_all():
    first, second = mean_metric("x", np.array([0.5, 0.1, 0.9, 0.2])), mean_metric("x", np.array([0.5, 0.4, 0.1, 0.25]))
    assert [(picture, round(change, 2)) for picture, change in most_changed(first, second)] == [(2, -0.8), (1, 0.3), (3, 0.05)]


def test_other_pictures_or_metrics_cannot_be_compared():
    with pytest.raises(InputError, match="same pictures by the same metrics"):
        compare([scores()], [mean_metric("x", EASE[:10])])
    with pytest.raises(InputError, match="same pictures by the same metrics"):
        compare([scores()], [scores(name="y")])
